"""Hearing is measured as said: ranks over all concepts, windows that slide, words behind words."""

import json
from argparse import ArgumentTypeError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.measure import evaluate
from clavilux.training.lumia.measure.evaluate import Evaluation, Moment, Score, SoundClassifier, longest_run

ORIGIN = Origin("espeak/en-us", "Debian espeak-ng", "none")
TABLE = torch.eye(len(NAMES))[:, None, :]  # a token for each concept, at right angles to all others


def clip(label: str, loudness: float = 0.5, seconds: float = 0.5) -> LabelledClip:
    time = np.arange(int(seconds * SAMPLE_RATE))
    return LabelledClip((loudness * np.sin(0.3 * time)).astype(np.float32), label, ORIGIN)


def hears(*places: int):
    """Return an encoder that gives, for every window, the concepts at `places`, the first the nearest."""
    weights = torch.zeros(len(NAMES))
    for rank, place in enumerate(places):
        weights[place] = 1.0 - 0.1 * rank
    return lambda frames: weights.expand(len(frames), 1, -1)


def test_the_rank_is_the_number_of_nearer_concepts() -> None:
    classifier = SoundClassifier(hears(3, 7, 5), TABLE)
    ranks = classifier.ranks([clip(NAMES[3]), clip(NAMES[5])], [0, 1600])
    assert ranks.tolist() == [[0, 0], [2, 2]]


def test_the_first_and_the_first_five_are_counted_apart() -> None:
    classifier = SoundClassifier(hears(*range(6)), TABLE)
    found = evaluate.score("words", classifier, [clip(NAMES[i]) for i in (0, 4, 5)])
    assert found == Score("words", 3, 3, pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_a_room_adds_noise_before_and_after() -> None:
    noisy = evaluate.in_a_room([clip("dog", loudness=0.0)], 0)[0]
    assert len(noisy.sound) == 2 * SAMPLE_RATE + SAMPLE_RATE // 2 + evaluate.WHOLE
    assert noisy.sound.std() == pytest.approx(evaluate.ROOM_NOISE, rel=0.05)
    assert noisy.label == "dog"


def test_a_word_behind_another_means_the_later_one() -> None:
    first, second = clip("dog", 0.1), clip("cat", 0.4)
    found = evaluate.in_succession([first, second])
    assert [one.label for one in found] == ["dog", "cat"]
    np.testing.assert_array_equal(found[1].sound[: len(first.sound)], first.sound)
    np.testing.assert_array_equal(found[1].sound[-len(second.sound) :], second.sound)


@given(st.lists(st.booleans(), max_size=30))
def test_the_longest_run_is_all_true_and_none_is_longer(row: list[bool]) -> None:
    begin, length = longest_run(row)
    assert all(row[begin : begin + length])
    runs = "".join("x" if value else " " for value in row).split()
    assert length == max(map(len, runs), default=0)


def test_no_word_stands_behind_itself() -> None:
    clips = [clip(label, 0.1 * (i + 1)) for i, label in enumerate(["dog", "dog", "cat", "cat", "cat"])]
    found = evaluate.in_succession(clips)
    sounds = {one.sound.tobytes(): one.label for one in clips}
    before = [sounds[pair.sound[: len(clips[0].sound)].tobytes()] for pair in found]
    assert [pair.label for pair in found] == [one.label for one in clips]
    assert before == ["cat", "cat", "dog", "dog", "dog"]
    assert evaluate.in_succession(clips[:2]) == []


@pytest.mark.parametrize("nothing", [float("nan"), 0.0])
def test_an_encoder_that_says_nothing_is_never_right(nothing: float) -> None:
    classifier = SoundClassifier(lambda frames: torch.full((len(frames), 1, len(NAMES)), nothing), TABLE)
    found = evaluate.score("words", classifier, [clip(name) for name in NAMES[:7]])
    assert (found.first, found.fifth) == (0.0, 0.0)


def test_sliding_says_when_a_word_begins_to_be_right_and_how_long() -> None:
    class Late(SoundClassifier):
        def ranks(self, clips, offsets):
            return torch.tensor([[0 if 0.2 <= end / SAMPLE_RATE < 0.5 else 9 for end in offsets]])

    moments, delays, stays = evaluate.sliding(Late(hears(0), TABLE), [clip("dog")])
    assert delays == [pytest.approx(0.2)]
    assert stays == [pytest.approx(0.3)]
    assert {one.after: one.first for one in moments}[0.3] == 1.0


def test_a_word_right_before_its_end_has_no_delay() -> None:
    _, delays, stays = evaluate.sliding(SoundClassifier(hears(NAMES.index("dog")), TABLE), [clip("dog")])
    assert delays == [0.0]
    assert stays == [pytest.approx(1.7)]  # from its end on, that is 0.0 to 1.6 s


def test_a_graph_that_is_missing_or_damaged_is_told_in_a_line(tmp_path) -> None:
    (tmp_path / "decoder.onnx").write_bytes(b"none")
    for name in ("decoder.onnx", "denoiser.onnx"):
        with pytest.raises(ClaviluxError, match=rf"{name} cannot be opened \(.+\); export it again$"):
            evaluate.graph(tmp_path, name)


@pytest.mark.parametrize("name", ["sheet.foo", "sheet", "missing/sheet.png"])
def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_painted(tmp_path, name: str) -> None:
    assert evaluate.picture_file(str(tmp_path / "sheet.webp")) == tmp_path / "sheet.webp"
    with pytest.raises(ArgumentTypeError, match=r"has no ending of a picture|there is no folder"):
        evaluate.picture_file(str(tmp_path / name))


def test_another_bundle_is_opened_before_the_first_is_measured(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", str(DEFAULT_BUNDLE), "--work", "x", "--before", str(tmp_path)])
    monkeypatch.setattr(evaluate, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(ClaviluxError, match=str(tmp_path)):
        evaluate.main()


def test_confusions_are_counted_by_pair() -> None:
    classifier = SoundClassifier(hears(NAMES.index("cat")), TABLE)
    assert evaluate.confusions(classifier, [clip("dog"), clip("cat"), clip("dog")]) == ["dog as cat: 2"]


def test_the_table_states_clips_concepts_and_chance() -> None:
    report = Evaluation((Score("words", 10, 5, 0.9, 1.0),), (Moment(-0.1, 0.25),), (0.1, 0.3), (1.0, 0.5))
    table = evaluate.table_of(report)
    assert "| words | 10 | 5 | 90.0 % | 100.0 % |" in table
    assert f"| chance, over all {len(NAMES)} concepts | | | {100 / len(NAMES):.1f} %" in table
    assert "| R@1, % | 25 |" in table


def test_another_bundle_stands_beside_it() -> None:
    one, other = (
        Evaluation((Score("words", 4, 2, share, 1.0),), (Moment(0.0, 0.5),), (0.1, 0.2), (1.0, 0.5))
        for share in (0.75, 0.25)
    )
    rows = evaluate.table_of(one, other).split("\n")
    assert rows[0] == "| measured on | clips | concepts | R@1 | R@5 | before: R@1 | R@5 |"
    assert rows[2] == "| words | 4 | 2 | 75.0 % | 100.0 % | 25.0 % | 100.0 % |"
    assert {row.count("|") for row in rows[:4]} == {8}


def test_a_bundle_of_other_concepts_is_refused(tmp_path) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps({"concepts": ["dog"]}))
    with pytest.raises(ClaviluxError, match="knows 1 concepts, expected these"):
        evaluate.concept_table(tmp_path)
