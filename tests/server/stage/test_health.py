"""Health: the percentiles of what viewers measured, which frames are timed, and the status."""

from dataclasses import replace

import pytest

from clavilux.runtime.clock import ManualClock
from clavilux.runtime.frame import STAGES, ChannelLevel, Heard, Listening, SourceState
from clavilux.server.protocol.messages import Status
from clavilux.server.stage.health import AWAY, HEARING, REMEMBERED, STALE, Health, Latencies
from clavilux.server.stage.metrics import Metrics
from tests.server.fakes import NOW, FakeEngine, make_frame

US = 1_000_000
NOTHING_YET = Status(
    level=-120.0, heard=None, frame_rate=0.0, viewers=0, dropped_seconds=0.0, latency=None, engine="starting"
)


@pytest.fixture
def metrics(engine: FakeEngine) -> Metrics:
    return Metrics(engine)


@pytest.fixture
def health(engine: FakeEngine, metrics: Metrics) -> Health:
    return Health(engine, metrics)


def test_no_acknowledgement_no_latency() -> None:
    assert Latencies().summary() is None


def test_percentiles_are_nearest_rank_in_milliseconds() -> None:
    latencies = Latencies()
    for hundredths in range(100, 0, -1):
        latencies.add(hundredths / 100, NOW)
    assert latencies.summary() == {"p50": 500.0, "p95": 950.0}


def test_one_measurement_is_every_percentile() -> None:
    latencies = Latencies()
    latencies.add(0.25, NOW)
    assert latencies.summary() == {"p50": 250.0, "p95": 250.0}


def test_old_measurements_are_forgotten() -> None:
    latencies = Latencies()
    latencies.add(50.0, NOW)
    for _ in range(REMEMBERED):
        latencies.add(0.1, NOW)
    assert latencies.summary() == {"p50": 100.0, "p95": 100.0}


def test_an_acknowledgement_gives_the_time_from_heard_to_shown(health: Health, metrics: Metrics) -> None:
    health.acknowledged(99.0, round(99.25 * US))
    assert health.status(None, 0).latency == {"p50": 250.0, "p95": 250.0}
    assert b"clavilux_heard_to_shown_seconds_sum 0.25" in metrics.text()


@pytest.mark.parametrize(
    ("heard_until", "shown_at"), [(None, 99.0), (99.0, 0), (99.0, 98.0), (99.0, 103.0), (20.0, 99.0)]
)
def test_an_acknowledgement_that_cannot_be_true_gives_none(
    health: Health, metrics: Metrics, heard_until: float | None, shown_at: float
) -> None:
    health.acknowledged(heard_until, round(shown_at * US))
    assert health.status(None, 0).latency is None
    assert b"clavilux_heard_to_shown_seconds_count 0.0" in metrics.text()


def test_who_only_watches_is_not_believed_while_somebody_measures_who_may_play(
    engine: FakeEngine, health: Health, metrics: Metrics
) -> None:
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    for _ in range(REMEMBERED):
        health.acknowledged(NOW - 0.9, round(NOW * US), may_play=False)
    assert health.status(None, 0).latency == {"p50": 900.0, "p95": 900.0}  # somebody has to be
    health.acknowledged(NOW - 0.1, round(NOW * US))
    health.acknowledged(NOW - 0.9, round(NOW * US), may_play=False)
    assert health.status(None, 0).latency == {"p50": 100.0, "p95": 100.0}
    assert f"clavilux_heard_to_shown_seconds_count {REMEMBERED + 1}.0".encode() in metrics.text()
    clock.set(NOW + AWAY)
    assert health.status(None, 0).latency == {"p50": 100.0, "p95": 100.0}
    clock.set(NOW + AWAY + 0.1)
    health.acknowledged(clock.now() - 0.5, round(clock.now() * US), may_play=False)
    assert health.status(None, 0).latency == {"p50": 900.0, "p95": 900.0}


def test_a_frame_is_timed_while_its_sound_is_new(health: Health) -> None:
    health.take(make_frame(1, heard_until=99.0))
    frame = make_frame(2, 99.0)
    assert health.timed(frame) == 99.0
    assert health.timed(replace(frame, time=frame.time + STALE)) is None


def test_newer_sound_makes_frames_count_again(health: Health) -> None:
    for sequence, heard_until in ((1, 99.0), (2, 99.5)):
        health.take(replace(make_frame(sequence, heard_until), time=NOW + sequence))
    assert health.timed(replace(make_frame(3, 99.5), time=NOW + 2.5)) == 99.5


def test_the_stages_of_hearing_count_once_for_all_frames_that_show_the_same_sound(
    health: Health, metrics: Metrics
) -> None:
    for sequence in range(3):
        health.take(make_frame(sequence, heard_until=99.0))
    for stage in STAGES:
        times = 1 if stage in HEARING else 3
        assert f'clavilux_stage_seconds_count{{stage="{stage}"}} {times}.0'.encode() in metrics.text()


def test_before_any_frame_a_status_tells_silence(health: Health) -> None:
    assert health.status(None, 0) == NOTHING_YET


def test_a_status_tells_level_concept_rate_and_viewers(engine: FakeEngine, health: Health) -> None:
    engine.counted.frames, engine.counted.dropped_seconds = 15, 0.25
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    clock.set(NOW + 0.5)
    assert health.status(make_frame(0, 99.0, Heard("dog", 0.81234)), 3) == Status(
        level=-20.0,
        heard={"name": "dog", "similarity": 0.812},
        frame_rate=30.0,
        viewers=3,
        dropped_seconds=0.25,
        latency=None,
        engine="starting",
    )


def test_a_status_tells_how_the_source_is_doing(health: Health) -> None:
    meters = (ChannelLevel(-20.04, -3.06, clipped=False), ChannelLevel(-18.0, 0.5, clipped=True))
    listening = Listening(SourceState.PLAYING, -60.04, 6.0, ("clipped",), meters, 2)
    status = health.status(replace(make_frame(), listening=listening), 0, None, sounding=True)
    assert (status.source, status.gate, status.gain, status.warnings) == ("playing", -60.0, 6.0, ("clipped",))
    assert status.channels[1] == {"level": -18.0, "peak": 0.5, "clipped": True}
    assert (status.taken, status.sounding) == (2, True)


def test_what_others_know_of_the_source_goes_before_what_its_samples_tell(health: Health) -> None:
    frame = replace(make_frame(), listening=Listening(SourceState.STALLED))
    assert health.status(frame, 0, SourceState.LOST).source == "lost"
    meters = replace(frame, listening=Listening(channels=(ChannelLevel(-20.0, -3.0, clipped=False),)))
    lost = health.status(meters, 0, SourceState.LOST)
    assert (lost.level, lost.heard, lost.channels) == (-120.0, None, ())
    assert health.status(frame, 0, None).source == "stalled"
    assert health.status(frame, 0).source == "none"


def test_the_frame_rate_counts_from_the_status_before(engine: FakeEngine, health: Health) -> None:
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    for second, frames in ((1, 10), (2, 14)):
        clock.set(NOW + second)
        engine.counted.frames = frames
        status = health.status(None, 0)
    assert status.frame_rate == 4.0


@pytest.mark.parametrize("level", [float("-inf"), float("nan")])
def test_a_status_never_holds_what_json_cannot_say(health: Health, level: float) -> None:
    status = health.status(replace(make_frame(0, 99.0, Heard("dog", float("nan"))), level=level), 0)
    assert (status.level, status.heard) == (-120.0, None)
