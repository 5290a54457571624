"""The readings differ in what a frame may know and in nothing else; what is told is counted over the same clips."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.features import PADDED_FRAMES, WINDOW_FRAMES, windows
from clavilux.training.lumia import make
from clavilux.training.lumia.data.clips import LabelledClip, Origin, join_parts, write_clips
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.models import encoder
from clavilux.training.lumia.models.targets import token_table
from clavilux.training.studies import chunked_retrieval
from clavilux.training.studies.chunked import Chunks, StreamingEncoder
from clavilux.training.studies.chunked_retrieval import Retrieval

TOKENS = encoder.token_count()


def clips(count: int) -> list[LabelledClip]:
    """Return tones that differ, half a second each."""
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    tones = [np.sin(2 * np.pi * (200 + 150 * i) * time) * 0.3 for i in range(count)]
    origin = Origin("espeak/test", "test", "none")
    return [LabelledClip(tone.astype(np.float32), NAMES[i], origin) for i, tone in enumerate(tones)]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return encoder.build(16, 8, layers=2).eval()


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.stack([chunked_retrieval.stretch(clip.sound) for clip in clips(2)])


def test_full_windows_are_those_that_the_bundle_hears(model, frames) -> None:
    sound = clips(1)[0].sound
    expected = encoder.heard(model, windows(sound, [3200]))
    torch.testing.assert_close(chunked_retrieval.full(model, frames[:1]), expected)


def test_a_chunk_of_the_whole_window_changes_nothing_but_a_stream_knows_less(model, frames) -> None:
    full = chunked_retrieval.full(model, frames)
    found = chunked_retrieval.readings(model, [Chunks(100, 0), Chunks(10, 9)])
    torch.testing.assert_close(found["mask", Chunks(100, 0)](frames), full, atol=1e-4, rtol=1e-4)
    for reading in ("mask", "normalised so far", "stream"):
        tokens = found[reading, Chunks(10, 9)](frames)
        assert tokens.shape == full.shape
        assert not torch.allclose(tokens, full, atol=1e-3)


@torch.no_grad()
def test_the_stream_is_what_the_exported_step_gives_hop_by_hop(model, frames) -> None:
    streaming, step = StreamingEncoder(model, Chunks(10, 9), PADDED_FRAMES // 2), 20
    first = (frames.shape[1] - WINDOW_FRAMES) % step
    state = streaming.begin(2).named()
    for end in range(first + WINDOW_FRAMES, frames.shape[1] + 1, step):
        tokens, *caches = streaming(frames[:, end - WINDOW_FRAMES : end], **state)
        state = dict(zip(state, caches, strict=True))
    expected = chunked_retrieval.readings(model, [Chunks(10, 9)])["stream", Chunks(10, 9)](frames)
    torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)


def test_a_change_is_counted_clip_by_clip() -> None:
    better, worse = np.array([0] * 90 + [4] * 10), np.array([0] * 50 + [4] * 50)
    found, low, high = chunked_retrieval.change(better, worse)
    assert found == pytest.approx(0.4)
    assert low < 0.4 < high
    assert chunked_retrieval.change(worse, worse) == (0.0, 0.0, 0.0)


def test_ranks_count_the_nearer_concepts() -> None:
    table = torch.eye(4)[:, None, :]
    heard = torch.tensor([[[0.1, 0.9, 0.5, 0.0]]])
    frames = torch.zeros(3, 1, 1)
    found = chunked_retrieval.ranks(lambda part: heard.expand(len(part), 1, 4), frames, torch.tensor([1, 2, 0]), table)
    assert found.tolist() == [0, 1, 2]


def test_every_reading_has_its_row(model) -> None:
    table = token_table(len(NAMES), TOKENS, 8, 0)[:-1]
    rows = list(chunked_retrieval.measure("tones", model, clips(3), table, [Chunks(50, 1)]))
    assert [row.reading for row in rows] == ["full windows", "mask", "normalised so far", "stream"]
    assert rows[0].change == (0.0, 0.0, 0.0)
    assert (rows[1].chunk, rows[1].context) == (1.0, 1.0)


def test_the_table_says_what_changed() -> None:
    full = Retrieval("voices", "full windows", 0.0, 0.0, 40, 0.8, 0.9, (0.0, 0.0, 0.0))
    stream = Retrieval("voices", "stream", 0.2, 1.8, 40, 0.7, 0.85, (-0.1, -0.2, 0.0))
    assert [chunked_retrieval.line_of(row) for row in (full, stream)] == [
        "| voices | full windows | whole | 40 | 80.0 % | 90.0 % |  |",
        "| voices | stream | 0.2 + 1.8 | 40 | 70.0 % | 85.0 % | -10.0 (-20.0 to +0.0) |",
    ]


@pytest.fixture
def work(tmp_path, monkeypatch, model):
    """A folder as clavilux.training.lumia.make leaves it, in miniature."""
    monkeypatch.setattr(make, "EAR_WIDTH", 16)
    monkeypatch.setattr(make, "WIDTH", 8)
    write_clips(tmp_path, "test", "test", clips(3))
    write_clips(tmp_path, "train", "train", clips(3))
    join_parts(tmp_path)
    table = token_table(len(NAMES), TOKENS, 8, 0)
    save_file({"begin": torch.zeros(8), "table": table}, tmp_path / "table.safetensors")
    pupil = encoder.Pupil(encoder.build(16, 8), table, 2)
    torch.save({"average": pupil.state_dict()}, tmp_path / "ear.pt")
    pupil.model.save_pretrained(tmp_path / "encoder")
    return tmp_path


def test_the_command_prints_a_table_and_a_line_of_json(work, capsys: pytest.CaptureFixture[str]) -> None:
    chunked_retrieval.main([str(work), "--chunks", "50x1", "--every", "2"])
    *table, last = capsys.readouterr().out.splitlines()
    rows = json.loads(last)
    assert len(table) == 2 + len(rows) == 2 + 2 * 4
    assert rows[0]["clips"] == 2


def test_the_checkpoint_of_a_training_can_be_heard_too(work) -> None:
    one, other = chunked_retrieval.load(work / "ear.pt"), chunked_retrieval.load(work / "encoder")
    assert all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


def test_a_streaming_pupil_is_given_a_whole_window_that_knows_nothing_of_the_future(model) -> None:
    pupil = chunked_retrieval.StreamingPupil(model, token_table(2, TOKENS, 8, 0), 2, Chunks(10, 9))
    frames = torch.randn(2, WINDOW_FRAMES, 80)
    changed = frames.clone()
    changed[:, -40:] = 0
    one, other = pupil.inputs(frames), pupil.inputs(changed)
    assert one.shape == (2, PADDED_FRAMES // 2, 160)
    torch.testing.assert_close(one[:, :80], other[:, :80])
    assert not torch.allclose(one[:, 80:], other[:, 80:])


def test_fine_tuning_goes_on_from_the_checkpoint_and_is_kept(work, monkeypatch, capsys) -> None:
    def few(folder, ramp=1):
        from clavilux.training.lumia.models.augmented_windows import Group, Windows, frame_set

        return Windows(frame_set([Group(clips(3), 1.0)], NAMES, 0, [[1]] * 3), 0), 2

    monkeypatch.setattr(make, "training_windows", few)
    chunked_retrieval.main([str(work), "--chunks", "50x1", "--fine-tune", "1", "--out", str(work / "tuned")])
    tuned, before = (chunked_retrieval.load(place / "encoder") for place in (work / "tuned", work))
    moved = [
        float((one - other).detach().abs().max())
        for one, other in zip(tuned.parameters(), before.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 0.01
    assert capsys.readouterr().out


def test_fine_tuning_needs_a_place(work, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chunked_retrieval.main([str(work), "--fine-tune", "1"])
    assert "--fine-tune needs --out" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "5", "5x", "0x1", "5xa"])
def test_chunks_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ClaviluxError):
        chunked_retrieval.parsed(text)
