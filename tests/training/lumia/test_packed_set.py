"""A packed set gives the windows of the clips that it holds, in a file of limited size."""

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
from clavilux.training.lumia.data.emoji import load_emoji
from clavilux.training.lumia.models import augmented_windows
from clavilux.training.lumia.models.augmented_windows import Windows, frame_set
from clavilux.training.lumia.packed_set import KINDS, encoded, evenly, groups_of, pack, read

SHARES = {"sounds": 0.3, "espeak": 0.7}
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
    assert torch.equal(load_emoji(tmp_path / "one.webp").colour, load_emoji(folder / f"{CONCEPTS[5].code}.webp").colour)


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
    with pytest.raises(ClaviluxError, match=r"is no packed set .*; expected what clavilux.training.lumia.packed_set"):
        read(tmp_path / "packed.npz")


def test_the_same_clips_give_the_same_file(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "packed.npz")
    packed = read(tmp_path / "packed.npz")
    assert len(encoded(packed)) == len(encoded(replace(packed)))
