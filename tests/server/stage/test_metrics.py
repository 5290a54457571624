"""Prometheus series: what is counted, and by whom."""

from prometheus_client.parser import text_string_to_metric_families

from clavilux.server.stage.metrics import Metrics
from tests.server.fakes import FakeEngine


def samples(metrics: Metrics) -> dict[str, float]:
    """Return every sample as name{label values} → value."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


def test_the_engines_counters_are_read_at_every_scrape() -> None:
    engine = FakeEngine()
    metrics = Metrics(engine)
    assert samples(metrics)["clavilux_frames_total"] == 0
    engine.counted.frames, engine.counted.hops, engine.counted.dropped_seconds = 12, 3, 0.5
    found = samples(metrics)
    assert found["clavilux_frames_total"] == 12
    assert found["clavilux_hops_total"] == 3
    assert found["clavilux_dropped_seconds_total"] == 0.5


def test_the_engines_state_and_restarts_are_read_at_every_scrape() -> None:
    engine = FakeEngine()
    metrics = Metrics(engine)
    assert samples(metrics)["clavilux_engine_up"] == 0
    engine.ready.set()
    assert samples(metrics)["clavilux_engine_up"] == 1
    engine.restarting = True
    engine.counted.restarts = 2
    found = samples(metrics)
    assert (found["clavilux_engine_up"], found["clavilux_engine_restarts_total"]) == (0, 2)


def test_stage_times_are_counted_by_name() -> None:
    metrics = Metrics(FakeEngine())
    metrics.observe_stages({"encode": 0.03, "decode": 0.01})
    found = samples(metrics)
    assert found["clavilux_stage_seconds_count encode"] == 1
    assert found["clavilux_stage_seconds_sum decode"] == 0.01


def test_two_servers_in_one_process_do_not_share_series() -> None:
    one, other = Metrics(FakeEngine()), Metrics(FakeEngine())
    one.frames_sent.inc()
    assert samples(other)["clavilux_frames_sent_total"] == 0
