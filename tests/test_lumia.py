"""The default bundle as a newcomer meets it: it opens, hears words in voices it never heard, and paints them."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from clavilux.runtime.playing.render import render_frames, render_picture
from clavilux.runtime.sound.sound_file import Clip, read_clip
from tests.paths import SOUNDS
from tests.runtime.instruments import unplayed

WORDS = ("penguin", "train", "elephant", "piano")
MAX_BYTES = 42_000_000  # bytes
FRAME_RATE = 10.0
PAUSE = 0.3  # s


@cache
def spoken(word: str) -> list[Frame]:
    """Return the frames of playing a spoken word, and a short pause, to a new instrument."""
    return list(render_frames(unplayed(DEFAULT_BUNDLE), said(word), FRAME_RATE))


def said(word: str) -> Clip:
    """Return a spoken word and a pause, in which it is over."""
    clip = read_clip(SOUNDS / f"{word}.wav")
    return Clip(np.pad(clip.samples, ((0, round(PAUSE * clip.rate)), (0, 0))), clip.rate)


def test_the_bundle_is_sound_and_small() -> None:
    bundle = Bundle.open(DEFAULT_BUNDLE)
    assert (bundle.name, bundle.licence, bundle.picture.height) == ("lumia", "Apache-2.0", 256)
    assert sum(file.bytes for file in bundle.files.values()) < MAX_BYTES


def test_the_bundle_carries_its_proof() -> None:
    components = {figure.component.partition(",")[0] for figure in Bundle.open(DEFAULT_BUNDLE).parity}
    assert {"audio_encoder", "denoiser", "decoder", "picture"} <= components


@pytest.mark.parametrize("word", WORDS)
def test_a_spoken_word_is_heard_as_soon_as_it_is_over(word: str) -> None:
    heard = spoken(word)[-1].heard
    assert heard is not None
    assert heard.name == word
    assert heard.similarity > 0.6


def test_it_opens_without_a_word_and_shows_a_picture() -> None:
    assert open_instrument().step(0.0).pixels.shape == (256, 256, 3)


def test_two_words_are_two_pictures() -> None:
    penguin, train = (spoken(word)[-1].pixels.astype(float) for word in ("penguin", "train"))
    assert np.abs(penguin - train).mean() > 8  # of 255


@pytest.mark.parametrize(("light", "around"), [(False, 0), (True, 48)])
def test_the_picture_of_a_clip_is_what_playing_it_ends_with(light: bool, around: int) -> None:
    """Each is nearer to its own word's picture: whole without light, else without the light `around` things, in pixels.

    Light differs, as one hears the end, the other the whole.
    """
    words = ("penguin", "train")

    def unlit(instrument: Instrument) -> Instrument:
        cached = replace(instrument.bundle.conditioning, light=None)
        return Instrument(replace(instrument.bundle, conditioning=cached), instrument.models)

    players = [unplayed(DEFAULT_BUNDLE) for _ in range(3)]
    *stills, player = players if light else map(unlit, players)
    still = [render_picture(one, read_clip(SOUNDS / f"{word}.wav")) for one, word in zip(stills, words, strict=True)]
    parameters = player.defaults.merge({"glide": 0, "noise": "fixed"})
    live = [list(render_frames(player, said(word), FRAME_RATE, parameters))[-1].pixels for word in words]
    middle = slice(around, 256 - around)
    apart = np.array(
        [[np.abs(one.astype(float) - picture)[middle, middle].mean() for picture in still] for one in live]
    )
    own, other = np.diag(apart), np.diag(apart[:, ::-1])
    assert (own < 0.7 * other).all()
    assert (own < 0.7 * other[::-1]).all()


def test_the_model_card_says_what_was_measured_and_credits_its_sources() -> None:
    card = (DEFAULT_BUNDLE / "README.md").read_text(encoding="utf-8")
    assert "| held-out voices, all |" in card
    assert "Creative Commons Attribution 3.0" in card
