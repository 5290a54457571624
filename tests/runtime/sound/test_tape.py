"""Tapes: a sound in blocks of any size is the same stretch, and no more of it is held than is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Clip
from clavilux.runtime.sound.tape import Tape, survey
from tests.runtime.sound.sounds import cuts, noise

LENGTH = 1000


@dataclass
class Cut:
    """A sound that comes in pieces, and counts them."""

    samples: Samples
    places: list[int]
    rate: int = 16_000
    given_out: int = 0
    layout: str = ""
    name: str = "the cut"

    @property
    def channels(self) -> int:
        return self.samples.shape[1]

    def blocks(self) -> Iterator[Samples]:
        for piece in np.split(self.samples, self.places):
            self.given_out += len(piece)
            yield piece


@given(blocks=cuts(LENGTH), stops=cuts(LENGTH + 100))
def test_what_is_taken_is_the_sound_in_its_order(blocks: list[int], stops: list[int]) -> None:
    samples = noise(LENGTH, channels=2)
    tape = Tape(Cut(samples, blocks))
    taken = [tape.take(stop) for stop in [*stops, LENGTH + 200]]
    np.testing.assert_array_equal(np.concatenate(taken), samples)
    assert tape.taken == LENGTH


@given(blocks=cuts(LENGTH), place=st.integers(0, LENGTH + 50))
def test_what_is_passed_over_is_not_taken(blocks: list[int], place: int) -> None:
    samples = noise(LENGTH, channels=1)
    tape = Tape(Cut(samples, blocks))
    tape.skip(place)
    np.testing.assert_array_equal(tape.take(LENGTH), samples[place:])


@given(blocks=cuts(LENGTH), asked=st.integers(0, LENGTH + 50))
def test_a_tape_knows_whether_it_reaches_so_far(blocks: list[int], asked: int) -> None:
    assert Tape(Cut(noise(LENGTH, channels=1), blocks)).reach(asked) == min(asked, LENGTH)


def test_no_more_blocks_are_read_than_are_needed() -> None:
    cut = Cut(noise(LENGTH, channels=1), [100, 200, 300])
    Tape(cut).take(150)
    assert cut.given_out == 200


@given(blocks=cuts(LENGTH))
def test_a_survey_knows_a_sound_however_it_is_cut(blocks: list[int]) -> None:
    samples = noise(LENGTH, channels=2)
    assert survey(Cut(samples, blocks)) == survey(Clip(samples, 16_000))


def test_a_survey_tells_sounds_apart() -> None:
    samples = noise(LENGTH, channels=2)
    other = samples.copy()
    other[-1, 1] += np.float32(1e-6)
    clips = [Clip(samples, 16_000), Clip(other, 16_000), Clip(samples, 16_001), Clip(samples.reshape(-1, 1), 16_000)]
    assert len({survey(clip).sha256 for clip in clips}) == len(clips)
    assert survey(clips[0]).samples == LENGTH
