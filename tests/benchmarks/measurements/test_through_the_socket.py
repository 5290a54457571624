"""The way of a sound in parts, and a real run on a tiny bundle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import startup
from clavilux.benchmarks.measurements.serving import serving
from clavilux.benchmarks.measurements.through_the_socket import RATE, WATERFALL, Seen, digest, load, measure, waterfall

STAGES = {"queue": 0.02, "features": 0.001, "encode": 0.01, "condition": 0.001, "denoise": 0.02, "decode": 0.03}
ONE = Seen(
    sequence=1,
    heard_until=10.0,
    made_at=10.02,
    sent_at=10.09,
    received_at=10.092,
    shown_at=10.095,
    stages={**STAGES, "compress": 0.002},
)


def test_the_parts_add_up_to_heard_to_shown():
    parts = waterfall(ONE)
    assert tuple(parts) == WATERFALL
    assert sum(parts.values()) == pytest.approx(ONE.shown_at - ONE.heard_until)
    assert parts["hand over"] == pytest.approx(0.07 - 0.064)


def test_a_picture_counts_as_first_when_its_sound_is_new():
    again = replace(ONE, sequence=2, shown_at=10.195)
    new = replace(ONE, sequence=4, heard_until=10.2, made_at=10.22, sent_at=10.29, received_at=10.292, shown_at=10.295)
    told = digest([ONE, again, new])
    assert told.heard_to_shown.count == 3
    assert told.first_shown.count == 1
    assert told.first_shown.p50 == pytest.approx(95.0)
    assert told.skipped == 1


def test_nothing_seen_is_all_zero():
    told = digest([])
    assert (told.heard_to_shown.count, told.skipped, told.waterfall["decode"]) == (0, 0, 0.0)


def test_a_clip_is_resampled_to_what_browsers_capture(tmp_path: Path):
    soundfile.write(tmp_path / "clip.wav", np.zeros((8000, 2), np.float32), 16_000)
    assert load(tmp_path / "clip.wav").shape == (RATE // 2,)


def test_without_a_clip_there_is_seeded_noise():
    np.testing.assert_array_equal(load(None), load(None))


def test_a_real_server_is_heard_and_seen(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("clavilux.benchmarks.measurements.through_the_socket.WARM_UP", 0.0)
    with serving(["--bundle", str(tiny_bundle), "--threads", "1"]) as server:
        told = measure(server, 0.3)
    assert told.heard_to_shown.count >= 2
    assert told.waterfall["decode"] > 0


def test_a_start_is_timed(tiny_bundle: Path):
    told = startup.measure(["--bundle", str(tiny_bundle), "--threads", "1"], starts=1)
    assert 0 < told.listening_s <= told.first_picture_s


def test_a_server_that_does_not_start_is_one_line(tmp_path: Path):
    with (
        pytest.raises(BenchError, match="clavilux serve said nothing within 60 s, or ended; expected its address"),
        serving(["--bundle", str(tmp_path / "none")]),
    ):
        pass
