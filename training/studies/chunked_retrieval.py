"""Retrieval by the default bundle's encoder when it attends by chunks, against full windows, on held-out voices.

    python -m clavilux.training.studies.chunked_retrieval DIR   # DIR of lumia.make; the last line is JSON
    python -m clavilux.training.studies.chunked_retrieval DIR --fine-tune 300 --chunks 10x9 --out FOLDER

Four readings of the same weights, which differ in what a frame may know:

    full windows       everything in the window, as the bundle hears
    mask               only its chunk and those before it; still normalised by the whole window, so no stream can do it
    normalised so far  everything in the window, but each chunk is normalised by the window that ended with it
    stream             both, and hidden states that are kept: what `chunked.StreamingEncoder` gives hop by hop

The encoder was trained on full windows. `--fine-tune` goes on from DIR/ear.pt with the first chunks' mask and with
normalisation so far, in windows as before.

Chunks are given as FRAMESxEARLIER, frames of 20 ms and earlier chunks. All readings hear the same clips, so that the
change of R@1 comes with a 95 % interval by bootstrap over clips.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from transformers import Wav2Vec2BertModel

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.command_line import command
from clavilux.training.features import MEL_BINS, PADDED_FRAMES, STRIDE, WINDOW_FRAMES, log_mel
from clavilux.training.lumia import make
from clavilux.training.lumia.data.clips import LabelledClip, of_engine, read_clips
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.measure.conditions import WHOLE
from clavilux.training.lumia.measure.evaluate import FIVE, VOICES, Encode, in_succession
from clavilux.training.lumia.models import encoder
from clavilux.training.lumia.models.augmented_windows import Batch
from clavilux.training.lumia.models.targets import similarities
from clavilux.training.studies.chunked import FRAME_SECONDS, Chunks, attending, running, streamed

LEAD_WINDOWS = 2  # of sound before the window, silence mostly: what a stream has heard, and is normalised by
HEARD = (LEAD_WINDOWS + 1) * PADDED_FRAMES  # frames of sound per clip
KEPT = PADDED_FRAMES // STRIDE  # stacked frames that the adapter looks at
TABLE = "table.safetensors"  # of the work folder: what the tokens of every concept should be
USUAL = "5x19,10x9,20x4,50x1,10x4"
RESAMPLES = 2000
RATE = 5e-4  # highest learning rate of the fine-tuning: a third of the training's
HEAD = """\
| measured on | reading | chunk + context, s | clips | R@1 | R@5 | R@1 against full windows, points |
|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Retrieval:
    """Retrieval of one set by one reading."""

    measured_on: str
    reading: str
    chunk: float  # s, 0 for the whole window
    context: float  # s before it, likewise
    clips: int
    first: float  # R@1, 0..1
    fifth: float  # R@5, 0..1
    change: tuple[float, float, float]  # of R@1 from full windows: found, and its 95 % interval


def stretch(sound: NDArray[np.float32], offset: int = WHOLE) -> Tensor:
    """Return log-mel frames [HEARD - 2, 80] that end `offset` samples after the sound; silence round it."""
    samples = HEARD * (SAMPLE_RATE // 100)
    padded = np.pad(sound, (samples, offset))
    return torch.from_numpy(log_mel(padded[len(padded) - samples :]))


def full(model: Wav2Vec2BertModel, frames: Tensor) -> Tensor:
    """Return the tokens of the windows that end the frames [B, T, 80], as the bundle hears them."""
    return encoder.heard(model, frames[:, -WINDOW_FRAMES:])


def masked(model: Wav2Vec2BertModel, chunks: Chunks, frames: Tensor) -> Tensor:
    """Return the same with the mask in every layer."""
    with attending(model, chunks):
        return full(model, frames)


@torch.no_grad()
def normalised_so_far(model: Wav2Vec2BertModel, chunks: Chunks, frames: Tensor) -> Tensor:
    """Return the same without the mask, each chunk normalised by the window that ended with it."""
    clean = running(frames, WINDOW_FRAMES, chunks.size * STRIDE)[:, -PADDED_FRAMES:]
    tokens: Tensor = model(clean.reshape(len(clean), KEPT, MEL_BINS * STRIDE)).last_hidden_state
    return tokens


def readings(model: Wav2Vec2BertModel, chunks: Sequence[Chunks]) -> dict[tuple[str, Chunks | None], Encode]:
    """Return every reading, as a function of frames [B, HEARD - 2, 80] giving tokens [B, N, D]."""
    found: dict[tuple[str, Chunks | None], Encode] = {("full windows", None): partial(full, model)}
    for one in chunks:
        found["mask", one] = partial(masked, model, one)
        found["normalised so far", one] = partial(normalised_so_far, model, one)
        found["stream", one] = partial(streamed, model, chunks=one, kept=KEPT, window=WINDOW_FRAMES)
    return found


def ranks(encode: Encode, frames: Tensor, labels: Tensor, table: Tensor) -> NDArray[np.int64]:
    """Return how many concepts are nearer than the right one, int64 [clips], for frames [clips, T, 80]."""
    tokens = torch.cat([encode(part) for part in torch.split(frames, encoder.ROUND)])
    found = similarities(tokens, table)
    nearer: NDArray[np.int64] = (found > found.gather(1, labels[:, None])).sum(dim=1).numpy()
    return nearer


def change(of: NDArray[np.int64], reference: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return how much higher the R@1 of one row of ranks is than of another, and the 95 % interval over clips."""
    gain = (of == 0).astype(np.float64) - (reference == 0)
    drawn = np.random.default_rng(0).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.percentile(gain[drawn].mean(axis=1), (2.5, 97.5))
    return float(gain.mean()), float(low), float(high)


def measure(
    name: str, model: Wav2Vec2BertModel, clips: Sequence[LabelledClip], table: Tensor, chunks: Sequence[Chunks]
) -> Iterator[Retrieval]:
    """Yield a row per reading of labelled clips; `table` [K, N, D] holds the concepts' tokens, without idle's."""
    frames = torch.stack([stretch(clip.sound) for clip in clips])
    labels = torch.tensor([NAMES.index(clip.label) for clip in clips])
    reference = None
    for (reading, one), encode in readings(model, chunks).items():
        found = ranks(encode, frames, labels, table)
        reference = found if reference is None else reference
        seen = (one.size * FRAME_SECONDS, one.context * FRAME_SECONDS) if one else (0.0, 0.0)
        recall = float((found == 0).mean()), float((found < FIVE).mean())
        yield Retrieval(name, reading, *seen, len(found), *recall, change(found, reference))


def line_of(row: Retrieval) -> str:
    """Return the row as a line of the table in Markdown."""
    return f"| {' | '.join(_cells(row))} |"


def _cells(row: Retrieval) -> tuple[str, ...]:
    seen = f"{row.chunk:.1f} + {row.context:.1f}" if row.chunk else "whole"
    found, low, high = (f"{100 * value:+.1f}" for value in row.change)
    against = f"{found} ({low} to {high})" if row.chunk else ""
    recall = (f"{100 * value:.1f} %" for value in (row.first, row.fifth))
    return row.measured_on, row.reading, seen, str(row.clips), *recall, against


def load(path: Path) -> Wav2Vec2BertModel:
    """Return the encoder in a folder, or the averaged one in a checkpoint of `clavilux.training.lumia.make`'s ear."""
    if path.is_dir():
        return Wav2Vec2BertModel.from_pretrained(path, attn_implementation="eager").eval()
    average = torch.load(path, weights_only=True)["average"]
    model = encoder.build(make.EAR_WIDTH, make.WIDTH)
    model.load_state_dict({name[6:]: value for name, value in average.items() if name.startswith("model.")})
    return model.eval()


class StreamingPupil(encoder.Pupil):
    """The encoder with its heads, hearing as a stream does: masked, and each chunk normalised by what it knows."""

    def __init__(self, model: Wav2Vec2BertModel, table: Tensor, phonemes: int, chunks: Chunks) -> None:
        super().__init__(model, table, phonemes)
        self.chunks = chunks

    def loss(self, batch: Batch) -> Tensor:
        """Return the pupil's loss under the mask."""
        with attending(self.model, self.chunks):
            return super().loss(batch)

    def inputs(self, frames: Tensor) -> Tensor:
        """Return what the encoder is given of windows [B, T, 80], as if each one's first frame had gone on before."""
        before = frames[:, :1].expand(-1, WINDOW_FRAMES, -1)
        clean = running(torch.cat([before, frames], dim=1), WINDOW_FRAMES, self.chunks.size * STRIDE)
        return clean.reshape(len(clean), -1, MEL_BINS * STRIDE)


def tuned(work: Path, chunks: Chunks, steps: int, checkpoint: Path) -> Wav2Vec2BertModel:
    """Return the ear of `work` after `steps` more steps as a stream's; its heads are those of its checkpoint."""
    data, phonemes = make.training_windows(work)
    model = encoder.build(make.EAR_WIDTH, make.WIDTH)
    pupil = StreamingPupil(model, load_file(work / TABLE)["table"], phonemes, chunks)
    pupil.load_state_dict(torch.load(work / "ear.pt", weights_only=True)["average"])
    encoder.fit(pupil, data, replace(make.EAR, steps=steps, rate=RATE, warmup=min(50, steps), average=0.98), checkpoint)
    return model.eval()


def parsed(text: str) -> list[Chunks]:
    """Return the chunks of "FRAMESxEARLIER,...". Raises ClaviluxError."""
    try:
        return [Chunks(*map(int, one.split("x", 1))) for one in text.split(",")]
    except (ValueError, TypeError) as error:
        raise ClaviluxError(
            f"--chunks is {text!r}; expected numbers of frames and of earlier chunks: {USUAL}"
        ) from error


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "work", type=Path, metavar="DIR", help="the folder that clavilux.training.lumia.make worked in; only read"
    )
    parser.add_argument("--encoder", type=Path, help="folder or checkpoint of the ear (DIR/encoder)")
    parser.add_argument("--chunks", default=USUAL, help=f"frames x earlier chunks ({USUAL})")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="hear every N-th clip only")
    parser.add_argument("--fine-tune", type=int, default=0, metavar="STEPS", help="for the first chunks, before")
    parser.add_argument("--out", type=Path, help="folder for the fine-tuned encoder")
    asked = parser.parse_args(words)
    if asked.fine_tune and not asked.out:
        parser.error("--fine-tune needs --out")
    if asked.every < 1 or asked.fine_tune < 0:
        raise ClaviluxError(f"--every is {asked.every}, --fine-tune {asked.fine_tune}; expected 1 or more, 0 or more")
    chunks = parsed(asked.chunks)
    torch.set_num_threads(1)
    if asked.fine_tune:
        asked.out.mkdir(parents=True, exist_ok=True)
        model = tuned(asked.work, chunks[0], asked.fine_tune, asked.out / "ear.pt")
        model.save_pretrained(asked.out / "encoder")
    else:
        model = load(asked.encoder or asked.work / "encoder")
    rows = []
    print(HEAD)
    for row in report(model, asked.work, chunks, asked.every):
        print(line_of(row), flush=True)
        rows.append(row)
    print(json.dumps([asdict(row) for row in rows]))


def report(model: Wav2Vec2BertModel, work: Path, chunks: Sequence[Chunks], every: int) -> Iterator[Retrieval]:
    """Yield all rows of the held-out voices in `work`: words alone, and each behind another one."""
    speech = [clip for clip in of_engine(read_clips(work, "test"), *VOICES) if clip.label][::every]
    table = load_file(work / TABLE)["table"][:-1]
    yield from measure("held-out voices", model, speech, table, chunks)
    yield from measure("half a second after another word", model, in_succession(speech), table, chunks)


if __name__ == "__main__":
    sys.exit(command("chunked_retrieval", main))
