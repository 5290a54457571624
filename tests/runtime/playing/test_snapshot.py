"""Snapshots: an instrument and its screen go on as if nothing had been, and nothing else is ever made of one."""

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.diffusion.device_pipeline import DevicePipeline
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.output.film import Film
from clavilux.runtime.playing import snapshot
from clavilux.runtime.playing.engine import Engine
from clavilux.runtime.playing.parts import Parts
from clavilux.runtime.playing.snapshot import SnapshotError
from clavilux.runtime.providers.onnx_runtime import OnnxRuntimeSession
from clavilux.runtime.sound.libpulse import Connection
from clavilux.runtime.sound.pulse_audio import PulseAudio
from clavilux.runtime.sound.sound_card import SoundCard
from clavilux.runtime.sound.sound_file import SoundFile
from tests.runtime.instruments import RATE, painting_light, unplayed
from tests.runtime.sound.sounds import noise

STEP = 0.1  # s
SIDES = 48, 64  # pixels
WAYS = [
    {},
    {"feedback": 0.4, "noise": "walk", "trails": 0.5, "glow": 1.0},
    {"noise": "fresh", "motion_zoom": 1.05, "feedback": 0.3},
    {"light": 1.0, "react": 1.0, "frame_rate": 5.0},
    {"gain": 12.0, "gain_follows": True},
]


def play(instrument: Instrument, film: Film, steps: range, chosen: dict[str, Any]) -> list[np.ndarray]:
    """Return what is seen, and what was painted for it."""
    parameters = instrument.defaults.merge(chosen, instrument.ranges)
    samples = noise(10 * RATE)
    seen = []
    for index in steps:
        instrument.hear(samples[round(index * STEP * RATE) :][: round(STEP * RATE)], RATE, captured_at=index * STEP)
        frame = instrument.step(index * STEP, parameters)
        seen += [frame.pixels, film.draw(frame)]
    return seen


@pytest.mark.parametrize("chosen", WAYS, ids=lambda chosen: ",".join(chosen) or "defaults")
def test_what_goes_on_from_a_snapshot_is_the_same(tiny_bundle: Path, chosen: dict[str, Any]) -> None:
    check_goes_on(tiny_bundle, chosen)


def test_a_stream_of_batches_goes_on_from_a_snapshot(flexible_bundle: Path) -> None:
    chosen = {"steps": 2, "stream_batch": True}
    assert chosen.keys() <= unplayed(flexible_bundle).ranges.keys()
    check_goes_on(flexible_bundle, chosen)


def test_a_bundle_that_paints_light_goes_on_from_a_snapshot(tiny_bundle: Path) -> None:
    check_goes_on(tiny_bundle, {"react": 1.0}, painting_light)


def check_goes_on(bundle: Path, chosen: dict[str, Any], opened: Callable[[Path], Instrument] = unplayed) -> None:
    """Play an instrument on, and one that was made of its snapshot; what they show is the same."""
    instrument, film = opened(bundle), Film(*SIDES)
    play(instrument, film, range(12), chosen)
    kept = snapshot.take(instrument, film)
    wanted = play(instrument, film, range(12, 20), chosen)
    again, screen = snapshot.restore(kept, opened(bundle))
    assert screen is not None
    for one, other in zip(play(again, screen, range(12, 20), chosen), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_snapshot_without_a_screen_has_none(tiny_bundle: Path) -> None:
    _, screen = snapshot.restore(snapshot.take(unplayed(tiny_bundle), None), unplayed(tiny_bundle))
    assert screen is None


class Evil:
    """Asks whoever reads it to run a command."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "true"),
        (eval, "1"),
        (getattr, "text", "upper"),
        (snapshot.method, "text", "upper"),
        (snapshot.restore, b"", None),
        (Path.unlink, Path("x")),
    ],
    ids=lambda call: getattr(call[0], "__name__", ""),
)
def test_nothing_but_an_instrument_is_made_of_a_snapshot(tiny_bundle: Path, call: tuple[Any, ...]) -> None:
    with pytest.raises(SnapshotError, match=r"the state that was kept does not fit"):
        snapshot.restore(pickle.dumps(Evil(*call)), unplayed(tiny_bundle))


def test_a_name_that_leads_through_a_module_is_refused(tiny_bundle: Path) -> None:
    content = b"\x80\x04\x8c\x16clavilux.runtime.files\x8c\x0dshutil.rmtree\x93."
    with pytest.raises(SnapshotError, match=r"does not fit"):
        snapshot.restore(content, unplayed(tiny_bundle))


def test_nothing_is_imported_for_a_name_before_it_is_known_to_be_of_an_instrument(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lure.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SnapshotError, match=r"\(lure.Bait is nothing of an instrument\)"):
        snapshot.restore(b"\x80\x04\x8c\x04lure\x8c\x04Bait\x93.", unplayed(tiny_bundle))
    assert "lure" not in sys.modules


@pytest.mark.parametrize(
    "found", [Connection, SoundCard, SoundFile, DevicePipeline, Engine, PulseAudio, OnnxRuntimeSession, Parts]
)
def test_classes_that_reach_outside_are_refused(tiny_bundle: Path, found: type) -> None:
    with pytest.raises(SnapshotError, match=rf"{found.__name__} is nothing of an instrument"):
        snapshot.restore(pickle.dumps(found), unplayed(tiny_bundle))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a snapshot",
        b"\x80\x05K\x01",
        b"\x80\x05K\x01.",
        pickle.dumps(("an instrument", None)),
        b"\x80\x04\x8c\x01\xff.",  # a text that is not UTF-8
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",  # bytes, 2^64 - 1 of them
        b"I1x\n.",  # a number that is none
        b"\x80\x04]0.",  # nothing is left to return
        b"\x80\x04\x8c\x05modelQ.",  # a shared part that there is not
        b"\x80\x04]q\x00" + b"\x85" * 10_000 + b".",  # too deep for what prints or compares it
        b"\x80\x04\x8c\x0bcollections\x8c\x05deque\x93K\x01\x85R.",  # a deque of a number
    ],
)
def test_what_is_no_snapshot_is_one_line(tiny_bundle: Path, content: bytes) -> None:
    with pytest.raises(SnapshotError, match=r"the state that was kept does not fit"):
        snapshot.restore(content, unplayed(tiny_bundle))


def test_a_state_that_lies_elsewhere_is_named(tiny_bundle: Path) -> None:
    instrument = unplayed(tiny_bundle)
    instrument.on_a_card = memoryview(b"")  # type: ignore[attr-defined]
    with pytest.raises(SnapshotError, match=r"the state of this device cannot be kept \(.*memoryview"):
        snapshot.take(instrument, None)


def test_a_state_that_only_this_process_has_is_named(tiny_bundle: Path) -> None:
    instrument = unplayed(tiny_bundle)
    instrument.on_a_card = lambda: 0  # type: ignore[attr-defined]
    with pytest.raises(SnapshotError, match=r"the state of this device cannot be kept \(.*lambda"):
        snapshot.take(instrument, None)
