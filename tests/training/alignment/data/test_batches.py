"""Examples are a function of seed, epoch and clip; streams never end, hold out their test and note what is bad."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.errors import SoundError
from clavilux.training.alignment.data import batches
from clavilux.training.alignment.data.bad_data import Policy, read_skipped
from clavilux.training.alignment.data.batches import (
    ClipStream,
    Collator,
    ExampleSettings,
    Order,
    SlidingWindows,
    StreamSettings,
    TrainingClips,
    WholeClips,
    held_out,
    split_examples,
    stream_test,
)
from clavilux.training.alignment.data.captioned import DataError, DataOptions, Example, read_folder
from clavilux.training.alignment.data.excerpts import Placing, heard_whole
from clavilux.training.alignment.data.text_cache import TextCache, caption_key
from clavilux.training.alignment.data.window import Adapter, window_for
from tests.training.alignment.data.test_captioned import of_set, saved_set
from tests.training.alignment.data.test_text_cache import Counting
from tests.training.alignment.few_clips import CLIPS, write_clips

WINDOW = window_for(8, Adapter())
LOOSE = ExampleSettings(WINDOW, Placing(shift=0.5, partial=0.5), ("{}", "a sound of {}", "hear {}"), seed=3)


def clips(folder: Path) -> list[Example]:
    return list(read_folder(write_clips(folder), DataOptions()).examples)


def test_an_example_is_a_function_of_epoch_and_clip(tmp_path: Path) -> None:
    data = TrainingClips(clips(tmp_path / "data"), LOOSE)
    first, again = ([data[epoch, clip] for epoch in range(3) for clip in range(4)] for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["input_features"], other["input_features"])
        assert one["caption"] == other["caption"]
    assert len({one["caption"] for one in first}) > 4
    assert not np.array_equal(data[0, 1]["input_features"], data[1, 1]["input_features"])


def test_a_clip_that_went_away_is_named(tmp_path: Path) -> None:
    data = TrainingClips(clips(tmp_path / "data"), LOOSE)
    (tmp_path / "data" / "3.wav").write_text("overwritten")
    changed = r"^3\.wav cannot be read any more \(.*\); it changed since it was checked: run again with --restart$"
    with pytest.raises(SoundError, match=changed):
        data[0, 3]


def test_examples_leave_torchs_dice_alone(tmp_path: Path) -> None:
    data = TrainingClips(clips(tmp_path / "data"), LOOSE)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    data[0, 0]
    list(Order(5, 1))
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 99), st.integers(0, 9))
def test_every_epoch_has_every_clip_once(count: int, seed: int, epoch: int) -> None:
    order = Order(count, seed)
    order.set_epoch(epoch)
    assert sorted(order) == [(epoch, clip) for clip in range(count)]
    assert list(order) == list(order)
    assert len(order) == count


def test_epochs_differ_in_their_order() -> None:
    order = Order(20, 0)
    first = [clip for _, clip in order]
    order.set_epoch(1)
    assert [clip for _, clip in order] != first


def test_test_clips_are_heard_as_the_reference_hears_them(tmp_path: Path) -> None:
    examples = clips(tmp_path / "data")
    data = WholeClips(examples, LOOSE)
    assert len(data) == CLIPS
    np.testing.assert_array_equal(data[5]["input_features"], heard_whole(examples[5].read(), WINDOW))
    assert data[5]["caption"] == examples[5].caption


def test_sliding_windows_pass_over_each_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    original = batches.heard_at
    monkeypatch.setattr(batches, "heard_at", lambda *words: ends.append(words[2]) or original(*words))
    data = SlidingWindows(clips(tmp_path / "data"), LOOSE)
    found = [data[i]["caption"] for i in range(len(data))]
    assert len(data) == 5 * CLIPS
    assert found[:6] == ["tone 0"] * 5 + ["tone 1"]
    assert ends[:5] == sorted(set(ends[:5]))


def test_a_batch_has_features_text_and_keys(tmp_path: Path) -> None:
    data, cache = TrainingClips(clips(tmp_path / "data"), ExampleSettings(WINDOW)), TextCache(tmp_path, Counting())
    batch = Collator(cache)([data[0, 2], data[0, 3]])
    assert batch["input_features"].shape == (2, WINDOW.frames // 2, 160)
    assert batch["input_features"].dtype == torch.float32
    assert torch.equal(batch["text"], cache.tokens(["tone 2", "tone 3"]))
    assert batch["captions"].tolist() == [caption_key("tone 2"), caption_key("tone 3")]


def test_a_split_in_the_data_is_kept(tmp_path: Path) -> None:
    train, test = split_examples(clips(tmp_path / "data"), 0.1, 0)
    assert [one.name for one in test] == ["9.wav", "10.wav", "11.wav"]
    assert len(train) == CLIPS - 3


@given(st.integers(2, 60), st.floats(0.01, 0.9), st.integers(0, 99))
def test_without_one_a_seeded_share_is_split_off(count: int, share: float, seed: int) -> None:
    examples = [Example(str(i), "x", Path()) for i in range(count)]
    train, test = split_examples(examples, share, seed)
    assert len(test) == max(1, round(share * count))
    assert sorted(int(one.name) for one in train + test) == list(range(count))
    assert split_examples(examples, share, seed) == (train, test)


def test_no_share_is_no_test() -> None:
    examples = [Example("a", "x", Path())]
    assert split_examples(examples, 0.0, 0) == (examples, [])


@given(st.integers(0, 9), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_about_a_share_of_names_is_held_out(seed: int, share: float) -> None:
    found = sum(held_out(f"row {i}", seed, share) for i in range(1000))
    assert abs(found - 1000 * share) < 80


def stream(tmp_path: Path, share: float = 0.3, on_bad: str = "skip", told: list[str] | None = None) -> ClipStream:
    captions: list[object] = [[f"tone {i}"] if i != 5 else [] for i in range(10)]
    folder = tmp_path / "set"
    if not folder.exists():
        saved_set(folder, 10, captions)
    report = (told if told is not None else []).append
    streaming = StreamSettings(of_set(folder, streaming=True), Policy(on_bad=on_bad), tmp_path / "out", share, report)
    return ClipStream(streaming, ExampleSettings(WINDOW, seed=1))


def test_a_stream_goes_round_without_end_and_leaves_its_test_out(tmp_path: Path) -> None:
    data = stream(tmp_path)
    test = {one.caption for one in stream_test(data.streaming, 1, 99)}
    rest = {f"tone {i}" for i in range(10) if i != 5} - test
    found = [item["caption"] for item in itertools.islice(data, 3 * len(rest))]
    assert 0 < len(test) < 9
    for turn in range(3):
        assert set(found[turn * len(rest) : (turn + 1) * len(rest)]) == rest


def test_a_stream_is_the_same_each_time_it_is_begun(tmp_path: Path) -> None:
    data = stream(tmp_path)
    first, again = ([item["caption"] for item in itertools.islice(data, 20)] for _ in range(2))
    assert first == again


def test_a_streams_test_is_no_longer_than_asked(tmp_path: Path) -> None:
    assert len(stream_test(stream(tmp_path, 0.9).streaming, 1, 2)) == 2


def test_a_stream_notes_and_tells_what_is_bad_once(tmp_path: Path) -> None:
    told: list[str] = []
    list(itertools.islice(stream(tmp_path, 0.0, told=told), 25))
    assert told == ["skipped: train row 5 has an empty caption; expected words"]
    assert [fault.kind for fault in read_skipped(tmp_path / "out")] == ["empty caption"]


def test_a_stream_refuses_when_asked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train row 5 has an empty caption; expected words, or --on-bad skip"):
        list(itertools.islice(stream(tmp_path, 0.0, "refuse"), 10))


def test_a_stream_without_a_good_clip_ends(tmp_path: Path) -> None:
    saved_set(tmp_path / "set", 2, [[], []])
    with pytest.raises(DataError, match=r"no clip .* can be trained on"):
        next(iter(stream(tmp_path)))


def test_a_caption_in_two_templates_is_one_duplicate(tmp_path: Path) -> None:
    data, cache = TrainingClips(clips(tmp_path / "data"), LOOSE), TextCache(tmp_path, Counting())
    items = [data[epoch, 2] for epoch in range(6)]
    assert len({item["caption"] for item in items}) > 1
    assert Collator(cache)(items)["captions"].tolist() == [caption_key("tone 2")] * 6


@pytest.mark.parametrize("kind", [WholeClips, SlidingWindows])
def test_a_test_clip_that_went_away_is_named(tmp_path: Path, kind: type[WholeClips]) -> None:
    data = kind(clips(tmp_path / "data"), LOOSE)
    (tmp_path / "data" / "0.wav").write_text("overwritten")
    with pytest.raises(SoundError, match=r"^0\.wav cannot be read any more"):
        data[0]
