"""A packed set gives the windows of the clips that it holds, in a file of limited size."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia import packed_set
from clavilux.training.lumia.data import phonemes
from clavilux.training.lumia.data.clips import LabelledClip, Origin, join_parts, read_clips, write_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.data.scenes import load_emoji
from clavilux.training.lumia.models import augmented_windows
from clavilux.training.lumia.models.augmented_windows import Windows, frame_set
from clavilux.training.lumia.packed_set import KINDS, encoded, evenly, groups_of, pack, read

SHARES = {"sounds": 0.3, "espeak": 0.7}
EXPECTED = "; expected what clavilux.training.lumia.packed_set writes"
SOMETHING_ELSE = "(it holds something else than arrays of numbers, or is damaged)"
ROUNDING = 2.0**-6  # of numbers up to 32 in float16


class Letters:
    """Spells instead of saying: hibari's phonemes are not at hand."""

    def phonemize(self, text: str) -> list[str]:
        return [text.lower()]


def clips() -> list[LabelledClip]:
    """Return clips of two kinds, three times as many of the first concept as of the others."""
    found = []
    for i, name in enumerate((NAMES[0], NAMES[0], NAMES[0], NAMES[1], "")):
        sound = (0.5 * np.sin(np.arange(4000 + 400 * i) * (i + 1) / 10)).astype(np.float32)
        found.append(LabelledClip(sound, name, Origin("espeak/en", "espeak", "GPL-3.0"), f"a{name[:3]}"))
        found.append(LabelledClip(sound[::-1].copy(), name, Origin("effect/x", "opensfx", "CC0-1.0")))
    return found


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder with finished data, and pictures of one colour for each concept."""
    monkeypatch.setattr(augmented_windows, "NOISE_SECONDS", 4)
    monkeypatch.setattr(phonemes, "load_hibari", lambda folder: Letters())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, concept in enumerate(CONCEPTS):
        Image.new("RGBA", (8, 8), (i % 256, i // 256, 0, 255)).save(pictures / f"{concept.code}.webp", lossless=True)
    monkeypatch.setattr(packed_set, "picture_folder", lambda work: pictures)
    write_clips(tmp_path / "work", "all", "train", clips())
    join_parts(tmp_path / "work")
    return tmp_path / "work"


def test_where_all_fits_windows_are_those_of_the_whole_data(work: Path, tmp_path: Path) -> None:
    assert pack(work, tmp_path / "packed.npz") == len(clips())
    packed = read(tmp_path / "packed.npz")
    kept = read_clips(work, "train")
    groups = groups_of(kept, SHARES)
    spoken = phonemes.phonemes_of((clip.text for clip in kept), work)
    rows, count = phonemes.numbered([clip for group in groups for clip in group.clips], spoken)
    noises = frame_set(groups_of(kept, dict.fromkeys(KINDS, 1.0)), NAMES, packed_set.NOISE_SEED).noises
    whole = replace(frame_set(groups, NAMES, 0, rows), noises=noises)
    expected, found = (Windows(one, 0).batch(3, 16) for one in (whole, packed.drawn(SHARES)))
    assert packed.phoneme_count == count
    for name in ("labels", "lengths", "whole", "phonemes"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert (found.frames - expected.frames).abs().max() < 4 * ROUNDING  # of the clip, another before it, and the noise


def test_a_file_is_no_larger_than_it_may_be_and_holds_what_fits(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "whole.npz")
    limit = (tmp_path / "whole.npz").stat().st_size - 1
    kept = pack(work, tmp_path / "packed.npz", limit)
    assert 0 < kept < len(clips())
    assert (tmp_path / "packed.npz").stat().st_size <= limit
    assert len(read(tmp_path / "packed.npz").source.lengths) == kept


def test_clips_are_taken_evenly_from_every_concept_and_kind(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "packed.npz")
    source = read(tmp_path / "packed.npz").source
    for seed in range(5):
        first = evenly(source, Random(seed))[:6]
        assert len({(int(source.groups[one]), int(source.labels[one])) for one in first}) == 6


def test_where_nothing_fits_a_line_says_so(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ClaviluxError, match="not one clip fits into 10 bytes beside noises and pictures; allow more"):
        pack(work, tmp_path / "packed.npz", 10)


def test_pictures_are_the_files_themselves(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "packed.npz")
    pictures = read(tmp_path / "packed.npz").pictures
    folder = packed_set.picture_folder(work)
    assert pictures == tuple((folder / f"{concept.code}.webp").read_bytes() for concept in CONCEPTS)
    (tmp_path / "one.webp").write_bytes(pictures[5])
    assert torch.equal(load_emoji(tmp_path / "one.webp").layers, load_emoji(folder / f"{CONCEPTS[5].code}.webp").layers)


def test_a_kind_of_which_nothing_is_packed_is_never_drawn(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "packed.npz")
    drawn = read(tmp_path / "packed.npz").drawn({"flite": 0.5, "espeak": 0.5})
    assert set(drawn.groups.tolist()) == {1}
    assert torch.isfinite(Windows(drawn, 0).batch(0, 4).frames).all()
    assert set(KINDS) >= {"flite", "espeak"}


def test_a_set_of_other_concepts_is_refused(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(work, tmp_path / "packed.npz")
    monkeypatch.setattr(packed_set, "NAMES", (*NAMES, "another"))
    with pytest.raises(ClaviluxError, match="it is of another version, or of other concepts"):
        read(tmp_path / "packed.npz")


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04" + bytes(30)])
def test_what_is_no_set_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "packed.npz").write_bytes(content)
    assert refusal(tmp_path / "packed.npz") == SOMETHING_ELSE


def test_what_holds_objects_is_refused_without_advice_to_load_them(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "packed.npz")
    rewrite(tmp_path / "packed.npz", lengths=np.array([{}, []], object))
    assert refusal(tmp_path / "packed.npz") == SOMETHING_ELSE
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert refusal(tmp_path / "one.npy") == SOMETHING_ELSE


def test_a_set_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "packed.npz")


def test_whatever_bit_is_flipped_it_is_the_same_set_or_refused(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "packed.npz")
    whole = (tmp_path / "packed.npz").read_bytes()
    expected = encoded(read(tmp_path / "packed.npz"))
    dice, flipped = Random(0), tmp_path / "flipped.npz"
    refusals: list[str] = []
    for place in [*range(60), *range(len(whole) - 60, len(whole)), *dice.sample(range(len(whole)), 300)]:
        content = bytearray(whole)
        content[place] ^= 1 << dice.randrange(8)
        flipped.write_bytes(content)
        try:
            assert encoded(read(flipped)) == expected
        except ClaviluxError as error:
            refusals.append(str(error))
    assert len(refusals) > 200
    assert all(len(line.splitlines()) == 1 for line in refusals)


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("frames", lambda found: found[:-1], r"its lengths are not those of \d+ frames"),
        ("frames", lambda found: found[:, :-1], r"frames: float16 \[\d+, 79\], expected float16 \[\d+, 80\]"),
        ("frames", lambda found: found.astype(np.float32), "frames: float32 .*, expected float16"),
        ("frames", lambda found: first(found, np.nan), "frames are not finite"),
        ("noises", lambda found: first(found, np.inf), "noises are not finite"),
        ("noises", lambda found: found[:, :50], r"noises are not longer than \d+ frames"),
        ("noises", lambda found: found[:0], r"noises are not longer than \d+ frames"),
        ("lengths", lambda found: found * [-1, 3, *[1] * 8], "expected int32"),
        ("lengths", lambda found: moved(found, int(found[0]) + 1), "its lengths are not those of"),
        ("lengths", lambda found: found[:-1], r"labels: int32 \[10\], expected int32 \[9\]"),
        ("labels", lambda found: first(found, len(NAMES) + 1), f"a label is not within 0 to {len(NAMES)}"),
        ("labels", lambda found: first(found, -1), "a label is not within 0 to"),
        ("groups", lambda found: first(found, len(KINDS)), "a group is not within 0 to 7"),
        ("spoken", lambda found: first(found, 99), r"a clip speaks other than 0 to \d+ phonemes"),
        ("spoken", lambda found: first(found, 0), "phonemes are not as many as are spoken"),
        ("phonemes", lambda found: found[1:], r"phonemes: uint8 \[9, \d+\], expected uint8 \[10, \d+\]"),
        ("phonemes", lambda found: first(found, 255), r"there are more than \d+ phonemes"),
        ("pictures", lambda found: found[:-1], "its pictures are not one for each concept"),
        ("picture_lengths", lambda found: found[:-1], r"picture_lengths: int32 .*, expected int32"),
        ("picture_lengths", lambda found: moved(found, int(found[0])), "its pictures are not one for each concept"),
        ("header", lambda found: found[:1], r"header: int32 \[1\], expected int32 \[2\]"),
        ("header", lambda found: first(found, 2), "it is of another version, or of other concepts"),
    ],
)
def test_a_set_whose_arrays_do_not_fit_is_refused(
    work: Path, tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], fault: str
) -> None:
    pack(work, tmp_path / "packed.npz")
    with np.load(tmp_path / "packed.npz") as file:
        rewrite(tmp_path / "packed.npz", **{name: change(file[name])})
    assert re.search(fault, refusal(tmp_path / "packed.npz"))


def test_a_set_that_lacks_an_array_or_has_no_clips_is_refused(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.npz"
    pack(work, path)
    with np.load(path) as file:
        none = {name: file[name][:0] for name in (*packed_set.COUNTS, "phonemes", "frames")}
    rewrite(path, **none)
    assert "(it holds no clips)" in refusal(path)
    np.savez(path, names=np.array(NAMES))
    assert "(it has no lengths, labels, groups, spoken, phonemes, frames, noises, pictures" in refusal(path)


def first(found: np.ndarray, value: float) -> np.ndarray:
    found.flat[0] = value
    return found


def moved(found: np.ndarray, count: int) -> np.ndarray:
    found[:2] += np.array([-count, count], found.dtype)
    return found


def rewrite(path: Path, **arrays: np.ndarray) -> None:
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    np.savez(path, **(kept | arrays))


def refusal(path: Path) -> str:
    with pytest.raises(ClaviluxError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f"{path} is no packed set (")
    assert line.endswith(EXPECTED)
    assert len(line.splitlines()) == 1
    return line.removeprefix(f"{path} is no packed set ").removesuffix(EXPECTED)


def test_the_same_clips_give_the_same_file(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "whole.npz")
    limit = (tmp_path / "whole.npz").stat().st_size - 1  # so that clips are chosen
    for name in ("once.npz", "again.npz"):
        pack(work, tmp_path / name, limit)
    assert (tmp_path / "once.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
