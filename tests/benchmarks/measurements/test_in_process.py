"""Times of a pass through the instrument, summed up."""

from pathlib import Path

import pytest

from clavilux.benchmarks.measurements.in_process import MIN_PICTURES, WORK, Setting, StageTimes, measure, summed_up
from clavilux.benchmarks.measurements.percentiles import WarmUp
from clavilux.runtime.errors import ParameterError
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument

PASS = {"features": 0.001, "encode": 0.019, "condition": 0.001, "denoise": 0.02, "decode": 0.017, "compress": 0.002}
WARMED = WarmUp(10, 1.0, stable=True)


def measured(instrument: Instrument, setting: Setting) -> StageTimes:
    return measure(instrument, setting, instrument.defaults, 0.01)


def test_pictures_and_hops_share_the_second():
    told = summed_up(Setting(64, 64, 1), [PASS] * 4, 0.1, WARMED)
    assert told.picture.p50 == pytest.approx(40.0)
    assert told.frames_per_second == pytest.approx(0.8 / 0.04)


@pytest.mark.parametrize("hop", [0.03, 0.06])
def test_hops_shorter_than_a_picture_are_looked_at_once_per_picture(hop: float):
    assert summed_up(Setting(64, 64, 1), [PASS], hop, WARMED).frames_per_second == round(1 / 0.06, 2)


def test_between_hops_that_take_longer_than_they_last_there_is_a_picture():
    told = summed_up(Setting(64, 64, 1), [PASS | {"encode": 1.0}], 0.1, WARMED)
    assert told.frames_per_second == round(1 / 1.041, 2)


def test_every_stage_of_a_real_instrument_is_timed(tiny_bundle: Path):
    told = measured(open_instrument(tiny_bundle, threads=1), Setting(64, 64, 2))
    assert tuple(told.stages) == WORK
    assert all(one.count >= MIN_PICTURES and one.p50 > 0 for one in told.stages.values())


def test_every_pass_listens_however_long_the_hop(tiny_bundle: Path):
    instrument = open_instrument(tiny_bundle, threads=1)
    parameters = instrument.defaults.merge({"hop": 3.0}, instrument.ranges)
    assert measure(instrument, Setting(64, 64, 1), parameters, 0.01).stages["encode"].p50 > 0
    assert instrument.hops >= MIN_PICTURES


def test_the_size_is_the_one_that_is_asked_for(flexible_bundle: Path):
    instrument = open_instrument(flexible_bundle, threads=1)
    measured(instrument, Setting(32, 64, 1))
    assert instrument.step(1e6, instrument.defaults.merge({"freeze": True})).pixels.shape == (32, 64, 3)


def test_steps_that_a_bundle_does_not_have_are_named(tiny_bundle: Path):
    with pytest.raises(ParameterError, match="steps is 9"):
        measured(open_instrument(tiny_bundle, threads=1), Setting(64, 64, 9))


def test_a_setting_reads_well():
    assert [str(Setting(64, 128, count)) for count in (1, 2)] == ["128x64, 1 step", "128x64, 2 steps"]
