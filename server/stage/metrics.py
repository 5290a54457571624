"""Counters of the server: Prometheus series in a registry of their own.

`Metrics` reads the engine's counters when it is scraped, so that nothing is counted twice. Units: seconds, bytes.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from clavilux.runtime.playing.engine_state import EngineState
from clavilux.server.stage.interfaces import Timed

STAGE_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)  # s
SHOWN_BUCKETS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)  # s

LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # s


class _EngineCollector(Collector):
    """Turns the engine's counters into series at the moment of a scrape."""

    def __init__(self, engine: Timed) -> None:
        self._engine = engine

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        up = self._engine.state is EngineState.PLAYING
        yield GaugeMetricFamily("clavilux_engine_up", "1 while pictures come", value=up)
        now = self._engine.counters()
        for name, about, value in (
            ("clavilux_frames", "Frames the engine made", now.frames),
            ("clavilux_hops", "Times the engine encoded the sound", now.hops),
            ("clavilux_dropped_seconds", "Sound lost for want of time", now.dropped_seconds),
            ("clavilux_heard_seconds", "Sound taken in", now.heard_seconds),
            ("clavilux_engine_restarts", "Times the engine began again after it had ended or hung", now.restarts),
        ):
            yield CounterMetricFamily(name, about, value=value)


class Metrics:
    """Every series of one server."""

    def __init__(self, engine: Timed) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_EngineCollector(engine))
        self._stages = Histogram(
            "clavilux_stage_seconds",
            "Time per stage and frame",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self.heard_to_shown = Histogram(
            "clavilux_heard_to_shown_seconds",
            "From the newest sound in a frame to that frame on a viewer's screen",
            buckets=SHOWN_BUCKETS,
            registry=self.registry,
        )
        self.viewers = Gauge("clavilux_viewers", "Started connections", ["role"], registry=self.registry)
        self.bytes_sent = Counter("clavilux_sent_bytes", "Bytes of messages sent to clients", registry=self.registry)
        self.frames_sent = Counter("clavilux_frames_sent", "Frames sent to clients", registry=self.registry)
        self.frames_skipped = Counter(
            "clavilux_frames_skipped", "Frames that clients were too slow for", registry=self.registry
        )
        self.refused = Counter(
            "clavilux_refused",
            "What peers were refused, and connections that failed",
            ["reason"],
            registry=self.registry,
        )

        self.loop_lag = Histogram(
            "clavilux_event_loop_lag_seconds",
            "How much later than asked for the event loop comes back",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )

    def observe_stages(self, stages: Mapping[str, float]) -> None:
        """Take the stage times of one frame, seconds by name."""
        for name, seconds in stages.items():
            self._stages.labels(name).observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
