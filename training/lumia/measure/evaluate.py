"""Hearing of the bundle, measured on voices and recordings never trained on: whole clips, sliding windows, noise.

    python -m clavilux.training.lumia.measure.evaluate runtime/bundles/lumia --work DIR    (DIR of ...make)

Every clip is compared with all concepts, by mean cosine over the tokens; idle is no candidate. R@1: the right one is
the nearest; R@5: it is among the nearest five. Chance is 1 and 5 in the number of concepts. The measured encoder is the
bundle's own ONNX graph.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.providers.session import first_line
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.command_line import command
from clavilux.training.features import windows
from clavilux.training.lumia.data import measuring_sets
from clavilux.training.lumia.data.clips import LabelledClip, of_engine, read_clips
from clavilux.training.lumia.data.concepts import NAMES, is_short
from clavilux.training.lumia.data.speech import HELD_OUT_ENGINES
from clavilux.training.lumia.measure.conditions import WHOLE, conditions, in_noise
from clavilux.training.lumia.models.targets import similarities

HOP = 1600  # samples between two looks: 0.1 s
SLIDING = tuple(range(-4 * HOP, 17 * HOP, HOP))  # ends of windows relative to the word's end: -0.4 to 1.6 s
SLIDING_CLIPS = 5  # one clip of so many is looked at through the sliding window
PAUSE = 8000  # samples between two words said one after the other: 0.5 s
ROOM_NOISE = 0.003  # deviation of white noise, full scale 1: about 35 dB under a word
FIVE = 5
PICTURES = (".png", ".webp", ".jpg")  # endings of pictures that are drawn
VOICES = ("espeak", "flite", "kokoro", *HELD_OUT_ENGINES)
PITCHED = ("effect", "instrument")
RENDERED = (*PITCHED, "drums")
Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Score:
    """One row of the report."""

    what: str
    clips: int
    concepts: int  # how many of all concepts the clips show
    first: float  # R@1, 0..1
    fifth: float  # R@5, 0..1


@dataclass(frozen=True)
class Moment:
    """Answer of the sliding window at one time."""

    after: float  # seconds from the word's end to the window's
    first: float  # R@1, 0..1


@dataclass(frozen=True)
class Evaluation:
    """Everything that is measured about a bundle's hearing."""

    scores: tuple[Score, ...]
    moments: tuple[Moment, ...]
    delay: tuple[float, float]  # seconds from a word's end until it is right and stays so: median, 90th percentile
    stay: tuple[float, float]  # seconds from then on that it stays right, in silence: median, 10th percentile


def graph(bundle: Path, name: str) -> ort.InferenceSession:
    """Return one of the bundle's graphs, on the processor. Raises ClaviluxError when it is missing or damaged."""
    try:
        return ort.InferenceSession(str(bundle / name), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each status, and no base of them
        raise ClaviluxError(f"{bundle / name} cannot be opened ({first_line(error)}); export it again") from error


def bundle_encoder(bundle: Path) -> Encode:
    """Return the bundle's encoder as a function of mel windows [n, T, 80] giving tokens [n, N, D]."""
    session = graph(bundle, AUDIO_ENCODER)

    def encode(frames: Tensor) -> Tensor:
        outputs = [session.run(None, {"features": one[None].numpy()})[0] for one in frames]
        return torch.from_numpy(np.concatenate(outputs))

    return encode


def concept_table(bundle: Path) -> Tensor:
    """Return the bundle's concept tokens [K, N, D]. Raises ClaviluxError when they are not those of this version."""
    names = json.loads((bundle / "bundle.json").read_text())["concepts"]
    if tuple(names) != NAMES:
        raise ClaviluxError(
            f"{bundle} knows {len(names)} concepts, expected these {len(NAMES)}; measure with its version"
        )
    return torch.from_numpy(load_file(bundle / "conditioning.safetensors")["concepts"]).float()


class SoundClassifier:
    """Classifier of sounds: an encoder, and the concepts that its tokens are compared with."""

    def __init__(self, encode: Encode, table: Tensor) -> None:
        self._encode, self._table = encode, table

    def likeness(self, sound: NDArray[np.float32], offsets: Sequence[int]) -> Tensor:
        """Return mean cosines [offsets, K] of windows that end `offset` samples after the sound."""
        return similarities(self._encode(windows(sound, list(offsets))), self._table)

    def ranks(self, clips: Sequence[LabelledClip], offsets: Sequence[int]) -> Tensor:
        """Return how many concepts are nearer than the right one [clips, offsets] int64; 0 is right."""
        rows = []
        for clip in clips:
            found = self.likeness(clip.sound, offsets)
            rows.append((~(found < found[:, NAMES.index(clip.label), None])).sum(dim=1) - 1)  # equals, NaN: not right
        return torch.stack(rows)


def score(what: str, classifier: SoundClassifier, clips: Sequence[LabelledClip], offset: int = WHOLE) -> Score:
    """Return R@1 and R@5 of clips at one offset."""
    ranks = classifier.ranks(clips, [offset])[:, 0]
    concepts = len({clip.label for clip in clips})
    return Score(what, len(clips), concepts, float((ranks == 0).float().mean()), float((ranks < FIVE).float().mean()))


def in_a_room(clips: Sequence[LabelledClip], seed: int) -> list[LabelledClip]:
    """Return each clip with a window of faint noise before it, and noise through it and WHOLE after it."""
    return in_noise(clips, ROOM_NOISE, seed)


def in_succession(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """Return each clip behind one of another word and a pause; it means the later one.

    The other is the next before it in the list, from whose end it goes on at its beginning.
    """
    pause, found = np.zeros(PAUSE, np.float32), []
    for i, two in enumerate(clips):
        others = (clips[i - back] for back in range(1, len(clips)))
        if (one := next((other for other in others if other.label != two.label), None)) is not None:
            found.append(replace(two, sound=np.concatenate([one.sound, pause, two.sound])))
    return found


def hearing(
    classifier: SoundClassifier, speech: Sequence[LabelledClip], sounds: Sequence[LabelledClip], folder: Path
) -> list[Score]:
    """Return every score; `folder` holds the sets that are only for measuring."""
    few = speech[::SLIDING_CLIPS]
    music = [clip.sound for clip in of_engine(sounds, "instrument")]
    human, real = measuring_sets.human_words(folder), measuring_sets.real_sounds(folder)
    sets: list[tuple[str, Sequence[LabelledClip], int]]
    sets = [(f"held-out voices: {engine}", of_engine(speech, engine), WHOLE) for engine in VOICES]
    sets += [
        ("held-out engines", of_engine(speech, *HELD_OUT_ENGINES), WHOLE),
        ("held-out voices, all", speech, WHOLE),
        ("held-out voices, short words", [clip for clip in speech if is_short(clip.label)], WHOLE),
        ("held-out voices in a noisy room", in_a_room(few, 0), 0),
        ("held-out voices, half a second after another word", in_succession(few), WHOLE),
        *((f"held-out voices, {one.what}", one.clips, one.offset) for one in conditions(few, music)),
        ("people's words", human, WHOLE),
        ("instruments and effects alone, in keys never trained on", of_engine(sounds, *PITCHED), 0),
        ("drum loops of kits never trained on", of_engine(sounds, "drums"), 0),
        ("other recordings of kinds that are trained", measuring_sets.trained(real), 0),
        ("recordings of kinds that are only known by name", measuring_sets.never_trained(real), 0),
    ]
    return [score(what, classifier, clips, offset) for what, clips, offset in sets if clips]


def sliding(
    classifier: SoundClassifier, clips: Sequence[LabelledClip]
) -> tuple[list[Moment], list[float], list[float]]:
    """Return R@1 at every offset; and, for clips that are ever right, when they begin to be and how long they stay."""
    right = classifier.ranks(clips, SLIDING) == 0
    moments = [Moment(end / SAMPLE_RATE, float(right[:, i].float().mean())) for i, end in enumerate(SLIDING)]
    delays, stays = [], []
    for row in right:
        if row.any():
            begin, length = longest_run(row.tolist())
            delays.append(max(0.0, SLIDING[begin] / SAMPLE_RATE))
            stays.append(max(0, begin + length - max(begin, SLIDING.index(0))) * HOP / SAMPLE_RATE)
    return moments, delays, stays


def longest_run(row: Sequence[bool]) -> tuple[int, int]:
    """Return where the longest run of true values begins, the first of equals, and its length."""
    best, begin = (0, 0), 0
    for i, value in enumerate([*row, False]):
        if not value:
            best = max(best, (begin, i - begin), key=lambda run: run[1])
            begin = i + 1
    return best


def measure(bundle: Path, work: Path) -> Evaluation:
    """Return the report of a bundle on the held-out clips that `clavilux.training.lumia.data.build` left in `work`.

    Raises ClaviluxError when the bundle has other concepts, or the clips are other ones.
    """
    classifier = SoundClassifier(bundle_encoder(bundle), concept_table(bundle))
    clips = read_clips(work, "test")
    speech = [clip for clip in of_engine(clips, *VOICES) if clip.label]
    if unknown := {clip.label for clip in clips} - {"", *NAMES}:
        raise ClaviluxError(f"{work} has the concept {min(unknown)!r}, which this version does not know; build it anew")
    if not speech:
        raise ClaviluxError(
            f"{work} has no voices to test with; expected a set that clavilux.training.lumia.data.build made"
        )
    scores = hearing(classifier, speech, of_engine(clips, *RENDERED), work)
    moments, delays, stays = sliding(classifier, speech[::SLIDING_CLIPS])
    delay = (float(np.median(delays)), float(np.quantile(delays, 0.9)))
    stay = (float(np.median(stays)), float(np.quantile(stays, 0.1)))
    return Evaluation(tuple(scores), tuple(moments), delay, stay)


def table_of(report: Evaluation, before: Evaluation | None = None) -> str:
    """Return the scores and the sliding window's figures as Markdown, the scores beside those of another bundle."""
    others = [before] if before else []
    head = ["| measured on | clips | concepts | R@1 | R@5 |" + " before: R@1 | R@5 |" * len(others)]
    head += ["|---" * (5 + 2 * len(others)) + "|"]
    rows = [
        f"| {same[0].what} | {same[0].clips} | {same[0].concepts} | " + " | ".join(map(_shares, same)) + " |"
        for same in zip(*(one.scores for one in (report, *others)), strict=True)
    ]
    chances = f"{100 / len(NAMES):.1f} % | {500 / len(NAMES):.1f} %"
    chance = f"| chance, over all {len(NAMES)} concepts | | | " + " | ".join([chances] * (1 + len(others))) + " |"
    times = " | ".join(f"{one.after:+.1f}" for one in report.moments)
    right = " | ".join(f"{100 * one.first:.0f}" for one in report.moments)
    through = [f"| s after the end | {times} |", "|---" * (len(report.moments) + 1) + "|", f"| R@1, % | {right} |"]
    delays = (
        f"A word that is heard at all is right {report.delay[0]:.1f} s after its end in the median, at most "
        f"{report.delay[1]:.1f} s in nine of ten; it stays right for {report.stay[0]:.1f} s in the median, at least "
        f"{report.stay[1]:.1f} s in nine of ten."
    )
    return "\n".join([*head, *rows, chance, "", *through, "", delays])


def _shares(score: Score) -> str:
    return f"{100 * score.first:.1f} % | {100 * score.fifth:.1f} %"


def confusions(classifier: SoundClassifier, clips: Sequence[LabelledClip]) -> list[str]:
    """Return the commonest mistakes, as "said as heard: times"."""
    wrong: dict[str, int] = {}
    for clip in clips:
        heard = NAMES[int(classifier.likeness(clip.sound, [WHOLE]).argmax())]
        if heard != clip.label:
            wrong[f"{clip.label} as {heard}"] = wrong.get(f"{clip.label} as {heard}", 0) + 1
    return [f"{pair}: {times}" for pair, times in sorted(wrong.items(), key=lambda item: -item[1])]


def measuring_parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of a command that measures a bundle with the sounds in a work folder."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("bundle", type=Path, help="folder of the bundle, with the concepts of this version")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of clavilux.training.lumia.make or ...lumia.data.build"
    )
    return parser


def picture_file(text: str) -> Path:
    """Return the path of a picture to be written. Raises ArgumentTypeError where that is impossible."""
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text} has no ending of a picture; expected one of {', '.join(PICTURES)}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.parent}; make it first")
    return path


def main() -> None:
    """Print the tables of a bundle."""
    parser = measuring_parser("What a bundle hears, on voices and recordings never trained on.")
    parser.add_argument("--before", type=Path, metavar="BUNDLE", help="another bundle, to stand beside it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well, in full")
    options = parser.parse_args()
    for bundle in filter(None, (options.bundle, options.before)):
        Bundle.open(bundle)
    if options.json and not options.json.parent.is_dir():
        raise ClaviluxError(f"--json is {options.json}, but there is no folder {options.json.parent}")
    report = measure(options.bundle, options.work)
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1))
    print(table_of(report, options.before and measure(options.before, options.work)))


if __name__ == "__main__":
    sys.exit(command("evaluate", main))
