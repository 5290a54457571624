"""Snapshots: an instrument and its screen go on as if nothing had been, and nothing else is ever made of one."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.instrument import Instrument
from clavilux.runtime.output.film import Film
from clavilux.runtime.playing import snapshot
from clavilux.runtime.playing.snapshot import SnapshotError
from tests.runtime.instruments import RATE, unplayed
from tests.runtime.sound.sounds import noise

STEP = 0.1  # s
SIDES = 48, 64  # pixels
WAYS = [
    {},
    {"feedback": 0.4, "noise": "walk", "trails": 0.5, "glow": 1.0},
    {"noise": "fresh", "motion_zoom": 1.05, "feedback": 0.3},
    {"steps": 2, "stream_batch": True},
    {"light": 1.0, "react": 1.0, "frame_rate": 5.0},
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


def heard(bundle: Path, steps: range) -> Instrument:
    """Return an instrument that was pushed a sound and made no picture."""
    instrument = unplayed(bundle)
    samples = noise(10 * RATE)
    for index in steps:
        instrument.hear(samples[round(index * STEP * RATE) :][: round(STEP * RATE)], RATE, captured_at=index * STEP)
    return instrument


@pytest.mark.parametrize("chosen", WAYS, ids=lambda chosen: ",".join(chosen) or "defaults")
def test_what_goes_on_from_a_snapshot_is_the_same(tiny_bundle: Path, chosen: dict[str, Any]) -> None:
    known = {name: value for name, value in chosen.items() if name in unplayed(tiny_bundle).ranges}
    instrument, film = unplayed(tiny_bundle), Film(*SIDES)
    play(instrument, film, range(12), known)
    kept = snapshot.take(instrument, film)
    wanted = play(instrument, film, range(12, 20), known)
    again, screen = snapshot.restore(kept, heard(tiny_bundle, range(12)))
    assert screen is not None
    for one, other in zip(play(again, screen, range(12, 20), known), wanted, strict=True):
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


@pytest.mark.parametrize("content", [b"", b"not a snapshot", b"\x80\x05K\x01"])
def test_what_is_no_snapshot_is_one_line(tiny_bundle: Path, content: bytes) -> None:
    with pytest.raises(SnapshotError, match=r"the state that was kept does not fit"):
        snapshot.restore(content, unplayed(tiny_bundle))


def test_a_state_that_lies_elsewhere_is_named(tiny_bundle: Path) -> None:
    instrument = unplayed(tiny_bundle)
    instrument.on_a_card = memoryview(b"")  # type: ignore[attr-defined]
    with pytest.raises(SnapshotError, match=r"the state of this device cannot be kept \(.*memoryview"):
        snapshot.take(instrument, None)
