"""The default bundle, from nothing: data, ear, picture codec, picture maker, export, measurement, model card.

    python -m clavilux.training.lumia.make --work DIR --out runtime/bundles/lumia
    python -m clavilux.training.lumia.make --work DIR --out BUNDLE --ear OLD
    python -m clavilux.training.lumia.make --work DIR --out PARCEL --set PACKED --device cuda --minutes 8

Restartable: finished phases are kept in DIR, an unfinished one resumes from its last checkpoint; delete DIR to begin
anew. The log goes to DIR/training.log as well. Ear and pictures are made side by side, one processor core each.

By the second line the audio encoder goes on from that of a bundle, instead of from nothing: the recipe of lumia 2.

The third line is for a card that is lent for minutes, on a machine without packages: it trains from a packed set
(`clavilux.training.lumia.packed_set`), stops at a checkpoint when time is up, and leaves what is finished as a parcel
(`clavilux.training.lumia.parcel`), which goes on at home. It was tried on a processor; no card has run it yet.
"""

import argparse
import io
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Wav2Vec2BertModel

from clavilux.export.work.staging import check_place
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.training.command_line import LOG, command, start_log
from clavilux.training.features import WINDOW_SAMPLES, windows
from clavilux.training.lumia import packed_set, parcel
from clavilux.training.lumia.data import assets, build, phonemes
from clavilux.training.lumia.data.clips import MANIFEST, read_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.data.scenes import Emoji, load_emoji
from clavilux.training.lumia.data.speech import TakeCounts
from clavilux.training.lumia.models import autoencoder, bundled_ear, encoder, finish, judge, light_reader, unet, words
from clavilux.training.lumia.models.augmented_windows import Augmentation, Windows, frame_set
from clavilux.training.lumia.models.scene_set import Cells, Pictures, SceneSet, Studio
from clavilux.training.lumia.models.train_loop import Recipe, trained
from clavilux.training.lumia.phases import NEVER, PhaseRunner, TimeUpError, all_ended, done_record
from clavilux.training.lumia.publish import publish

WIDTH = 144  # of the tokens
EAR_WIDTH = 192  # of the audio encoder
SEED = packed_set.NOISE_SEED
NOISE_AMPLITUDE = 0.01  # deviation of the white noise behind the negative prompt, as in the reference
WORDS = Recipe(steps=4000, rate=2e-3, decay=0.0, average=0.995, seed=SEED)
EAR = Recipe(steps=12_000, rate=1.5e-3, warmup=100, average=0.995, seed=SEED)
EAR_ON = Recipe(steps=2400, rate=1e-3, muon=0.005, warmup=100, average=0.995, seed=SEED)  # from a bundle's
PRACTICE = Recipe(steps=8000, rate=1e-3, muon=0.004, warmup=100, average=0.995, seed=SEED + 4)
CODEC = Recipe(steps=3500, rate=2e-3, muon=0.02, average=0.995, seed=SEED)
CODEC_ON = Recipe(steps=2000, rate=2e-3, muon=0.02, average=0.995, seed=SEED)  # its encoder alone
MAKER = Recipe(steps=7000, rate=1.5e-3, muon=0.01, decay=0.0, average=0.995, checkpoint=100, seed=SEED)
POLISH = Recipe(steps=3000, rate=8e-4, muon=0.006, decay=0.0, average=0.995, checkpoint=100, seed=SEED + 1)
FINISH = Recipe(steps=1500, rate=5e-4, decay=0.0, average=0.98, checkpoint=100, seed=SEED + 2)
JUDGE = Recipe(steps=2500, rate=2e-3, muon=0.02, average=0.99, seed=SEED + 3)
READER = Recipe(steps=3000, rate=1.5e-3, muon=0.02, average=0.99, seed=SEED + 5)
SHARES = {  # how often each kind is drawn
    "espeak": 0.18, "flite": 0.06, "festival": 0.06, "pico": 0.12, "kokoro": 0.32, "sounds": 0.12, "synthesis": 0.07,
    "none": 0.07,
}  # fmt: skip
PRACTICE_SHARES = {
    "espeak": 0.14, "flite": 0.06, "festival": 0.06, "pico": 0.12, "kokoro": 0.32, "sounds": 0.12, "synthesis": 0.08,
    "none": 0.10,
}  # fmt: skip
HARDER = Augmentation(speed=1.25, formants=1.18, wild=2.0, colour=5.0)  # what is practised with
SIZES: tuple[Cells, ...] = ((16, 16), (16, 28), (32, 32))  # of latents: 256 x 256 pixels, 256 x 448, 512 x 512
SIZE_SHARES = (0.33, 0.27, 0.05)  # how often the picture maker sees scenes of each
LIGHT_SHARES = (0.24, 0.11, 0.0)  # and light alone
UNSEEN = 4  # how many times more pictures judges and the reader of light learn from than they are measured with
RAMP_ON = 300  # steps until the windows are as hard as they get, for an ear that goes on
TABLE = "table.safetensors"  # the names' tokens, in the work folder
CODEC_FIRST = "vae_first"  # the autoencoder before its finish, there
PACKED = "packed.npz"  # in the work folder, where a packed set is trained from
EXIT_STOPPED = 3  # time was up; the same command goes on


@dataclass(frozen=True)
class LumiaConfig:
    """Amounts of everything; the defaults make the default bundle, tests make a miniature."""

    counts: dict[str, TakeCounts] = field(default_factory=lambda: build.COUNTS)
    pictures: tuple[int, ...] = (1400, 700, 0)  # scenes of each size that are kept as pictures, for the codec
    scenes: tuple[int, ...] = (6000, 5000, 300)  # scenes of each size, for the picture maker, in several variants
    lights: tuple[int, ...] = (6000, 1500, 0)  # of each size, beside those of the scenes
    unseen: tuple[int, ...] = (600, 300, 0)  # scenes of each size that the picture maker never sees, for the finish
    judged: int = 12  # pictures of each concept for the judge
    read: int = 4000  # pictures for the reader of light
    heard: int = 24  # windows of each concept for the picture maker
    told: int = 6  # windows of each concept for the statistics of tokens
    width: int = WIDTH
    ear_width: int = EAR_WIDTH
    channels: tuple[int, ...] = unet.CHANNELS
    ramp: int = 1500  # steps until the windows are as hard as they get
    ear_of: Path | None = None  # a bundle whose audio encoder the ear goes on from; None: from nothing
    words: Recipe = WORDS
    ear: Recipe = EAR
    ear_on: Recipe = EAR_ON
    practice: Recipe = PRACTICE
    codec: Recipe = CODEC
    codec_on: Recipe = CODEC_ON
    maker: Recipe = MAKER
    polish: Recipe = POLISH
    finish: Recipe = FINISH
    judge: Recipe = JUDGE
    reader: Recipe = READER
    device: str = "cpu"  # in torch's words
    deadline: float = NEVER  # s since the epoch

    def on(self, device: str, deadline: float = NEVER) -> "LumiaConfig":
        """Return the same on a device, until a deadline."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        recipes = {
            name: replace(value, device=device, deadline=deadline)
            for name, value in given.items()
            if isinstance(value, Recipe)
        }
        return LumiaConfig(**{**given, **recipes, "device": device, "deadline": deadline})


def make(work: Path, out: Path, config: LumiaConfig) -> None:
    """Make the bundle `out`, keeping everything in between in `work`. Raises TimeUpError at the deadline."""
    train_parts(work, config)
    publish(work, out, PhaseRunner(work).times())


def train_parts(work: Path, config: LumiaConfig) -> None:
    """Make all that a bundle is exported from. Raises TimeUpError at the deadline."""
    for side_by_side in ((_data_line, _scene_line), (_ear_line, _maker_line), (_practice_line, _finish_line)):
        _side_by_side(side_by_side, work, config)
    PhaseRunner(work, config.deadline).run("conditioning", lambda: _conditioning(work, config))


def adopt(packed: Path | None, work: Path) -> None:
    """Take a packed set into the work folder, to be trained from; None: nothing was packed.

    Raises ClaviluxError when it is none, or when the folder was begun with another one, or with the whole data.
    """
    there = work / PACKED
    if packed is None:
        if there.exists():
            raise ClaviluxError(f"{work} was begun with a packed set; give it with --set, or another --work")
        return
    if (work / MANIFEST).exists():
        raise ClaviluxError(f"{work} was begun with the whole data; leave --set out, or give another --work")
    packed_set.read(packed)
    if there.exists() and there.read_bytes() != packed.read_bytes():
        raise ClaviluxError(f"{work} was begun with another set than {packed}; give another --work")
    work.mkdir(parents=True, exist_ok=True)
    with written_whole(there) as part:
        part.write_bytes(packed.read_bytes())


def check_ear(work: Path, ear_of: Path | None) -> None:
    """Raise ClaviluxError when the work folder's ear was begun from another encoder, or the bundle has no fit one."""
    if ear_of is not None:
        Bundle.open(ear_of)
    note, wanted = work / bundled_ear.NOTE, bundled_ear.beginning(ear_of)
    begun = done_record(work, "ear").exists() or (work / "ear.pt").exists()
    if begun and note.exists() and (found := note.read_text()) != wanted:
        raise ClaviluxError(
            f"the ear in {work} was {found}, expected {wanted}; give the same --ear as then, or another --work"
        )


def _side_by_side(lines: Sequence[Callable[[Path, LumiaConfig], None]], work: Path, config: LumiaConfig) -> None:
    with ProcessPoolExecutor(len(lines), multiprocessing.get_context("spawn")) as pool:
        all_ended([pool.submit(line, work, config) for line in lines])


def _begin_line(work: Path, config: LumiaConfig) -> PhaseRunner:
    start_log(work)
    torch.set_num_threads(1 if config.device == "cpu" else max(1, (os.cpu_count() or 2) // 2))
    torch.set_flush_denormal(True)
    return PhaseRunner(work, config.deadline)


def _data_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work, config)
    phases.run("words", lambda: _words(work, config))
    if not (work / PACKED).exists():
        phases.run("data", lambda: build.build(work, config.counts))


def _scene_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work, config)
    phases.run("pictures", lambda: pictures(work, config))
    phases.run("codec", lambda: _codec(work, config))
    phases.run("scenes", lambda: _scenes(work, config))


def _ear_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work, config)
    phases.run("ear", lambda: _ear(work, config))
    phases.run("heard", lambda: _heard(work, config))


def _maker_line(work: Path, config: LumiaConfig) -> None:
    _begin_line(work, config).run("maker", lambda: _maker(work, config))


def _practice_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work, config)
    phases.run("practice", lambda: _practice(work, config))
    phases.run("judge", lambda: _judge(work, config))
    phases.run("reader", lambda: _reader(work, config))


def _finish_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work, config)
    phases.run("polish", lambda: _polish(work, config))
    phases.run("finish", lambda: _finish(work, config))


def _words(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    tokenizer = words.build_tokenizer(work / "tokenizer")
    model = words.build(tokenizer, config.width, encoder.token_count() + 1)
    known = words.space(len(NAMES) + 1, config.width, SEED)
    words.fit(model, tokenizer, known, config.words, work / "words.pt")
    model.save_pretrained(work / "text_encoder")
    begin, table = words.token_table(model, tokenizer)
    save_file({"begin": begin, "table": table, "light": known.light}, work / TABLE)


def _table(work: Path) -> tuple[Tensor, Tensor]:
    """Return the first token [D] of every prompt, and the concepts' tokens [K + 1, N, D], idle last."""
    stored = load_file(work / TABLE)
    return stored["begin"], stored["table"]


def training_windows(
    work: Path, ramp: int = 1, *, shares: Mapping[str, float] | None = None, options: Augmentation | None = None
) -> tuple[Windows, int]:
    """Return the source of training windows from the clips in `work`, and the number of phonemes."""
    shares = shares or SHARES
    if (work / PACKED).exists():
        packed = packed_set.read(work / PACKED)
        _check_heard({NAMES[i] for i in packed.source.labels.tolist() if i < len(NAMES)}, work)
        return Windows(packed.drawn(shares), SEED, options=options, ramp=ramp), packed.phoneme_count
    clips = read_clips(work, "train")
    _check_heard({clip.label for clip in clips}, work)
    spoken = phonemes.phonemes_of((clip.text for clip in clips), work)
    groups = packed_set.groups_of(clips, shares)
    rows, count = phonemes.numbered([clip for group in groups for clip in group.clips], spoken)
    return Windows(frame_set(groups, NAMES, SEED, rows), SEED, options=options, ramp=ramp), count


def _check_heard(labels: set[str], work: Path) -> None:
    """Raise ClaviluxError unless every concept has a clip: windows of each are drawn until there are enough."""
    if silent := [name for name in NAMES if name not in labels]:
        raise ClaviluxError(f"{work} has no clip of {', '.join(silent[:3])}; expected one of each at least")


def _ear(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    model = encoder.build(config.ear_width, config.width)
    recipe, ramp = (config.ear, config.ramp) if config.ear_of is None else (config.ear_on, RAMP_ON)
    if config.ear_of:
        bundled_ear.take_over(model, config.ear_of)
    with written_whole(work / bundled_ear.NOTE) as part:
        part.write_text(bundled_ear.beginning(config.ear_of))
    data, count = training_windows(work, ramp)
    pupil = encoder.Pupil(model, _table(work)[1], count)
    encoder.fit(pupil, data, recipe, work / "ear.pt")
    pupil.model.save_pretrained(work / "encoder_first")


def _practice(work: Path, config: LumiaConfig) -> None:
    """Go on with the audio encoder on stranger sound, while the pictures are finished on what it hears already."""
    data, count = training_windows(work, shares=PRACTICE_SHARES, options=HARDER)
    pupil = encoder.Pupil(encoder.build(config.ear_width, config.width), _table(work)[1], count)
    pupil.load_state_dict(trained(work / "ear.pt"))
    encoder.fit(pupil, data, config.practice, work / "practice.pt")
    pupil.model.save_pretrained(work / "encoder")


def _load_ear(folder: Path, device: str = "cpu") -> Wav2Vec2BertModel:
    return Wav2Vec2BertModel.from_pretrained(folder, attn_implementation="eager").eval().to(device)


def _heard(work: Path, config: LumiaConfig) -> None:
    """Keep tokens that the encoder really gives before it practises, for every concept and for idle.

    Misheard ones would teach the pictures to show what was meant where another thing was heard.
    """
    heard = encoder.understood(_listen(work, "encoder_first", config.heard, config.device), _table(work)[1])
    save_file({"heard": heard}, work / "heard.safetensors")


def _listen(work: Path, ear: str, each: int, device: str = "cpu") -> Tensor:
    """Return the tokens [K + 1, each, N, D] that an encoder gives for fresh training windows of every concept."""
    data, _ = training_windows(work)
    return encoder.heard_by_concept(_load_ear(work / ear, device), data, len(NAMES) + 1, each)


def _studio(work: Path, config: LumiaConfig, name: str = "scenes", seed: int = SEED) -> Studio:
    return Studio(_emojis(work), seed, work / name, config.deadline)


def _emojis(work: Path) -> list[Emoji]:
    if (work / PACKED).exists():
        return [load_emoji(io.BytesIO(one)) for one in packed_set.read(work / PACKED).pictures]
    folder = packed_set.picture_folder(work)
    return [load_emoji(folder / f"{concept.code}.webp") for concept in CONCEPTS]


def pictures(work: Path, config: LumiaConfig) -> list[Pictures]:
    """Return the scenes of each size that are kept as pictures, painted where they are not yet."""
    studio = _studio(work, config)
    return [studio.pictures(cells, count) for cells, count in zip(SIZES, config.pictures, strict=True)]


def _codec(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    square = pictures(work, config)[0]
    autoencoder.fit(autoencoder.build(), square, config.codec, work / "codec.pt").save_pretrained(work / CODEC_FIRST)


def _scenes(work: Path, config: LumiaConfig) -> tuple[SceneSet, ...]:
    """Return the scenes of each size with their latents, then lights alone, encoded where they are not yet."""
    model, studio = AutoencoderTiny.from_pretrained(work / CODEC_FIRST).to(config.device), _studio(work, config)

    def encode(pictures: Tensor) -> Tensor:
        with torch.autocast(torch.device(config.device).type, torch.bfloat16):  # as good, in half the time
            return autoencoder.encoded(model, pictures)

    scenes = [studio.scenes(cells, count, encode) for cells, count in zip(SIZES, config.scenes, strict=True) if count]
    lights = [studio.lights(cells, count, encode) for cells, count in zip(SIZES, config.lights, strict=True) if count]
    return *scenes, *lights


def _material(work: Path, config: LumiaConfig, heard: Tensor) -> unet.Material:
    stored, scenes = load_file(work / TABLE), _scenes(work, config)
    drawn = zip(SIZE_SHARES + LIGHT_SHARES, config.scenes + config.lights, strict=True)
    shares = tuple(share for share, count in drawn if count)
    return unet.Material(scenes, shares, stored["table"], heard, stored["begin"], stored["light"])


def _maker(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    model = unet.build(config.width, config.channels)
    unet.fit(model, _material(work, config, _table(work)[1][:, None]), config.maker, work / "maker.pt")
    model.save_pretrained(work / "maker")


def _polish(work: Path, config: LumiaConfig) -> None:
    """Go on with the picture maker on tokens that the trained encoder really gives."""
    model = UNet2DConditionModel.from_pretrained(work / "maker")
    heard = load_file(work / "heard.safetensors")["heard"]
    unet.fit(model, _material(work, config, heard), config.polish, work / "polish.pt")
    model.save_pretrained(work / "polished")
    unet.scheduler().save_pretrained(work / "scheduler")


def _finish(work: Path, config: LumiaConfig) -> None:
    """Go on with the decoder, on what the picture maker makes of scenes that it was never trained on."""
    model = UNet2DConditionModel.from_pretrained(work / "polished")
    codec = AutoencoderTiny.from_pretrained(work / CODEC_FIRST)
    stored, studio = load_file(work / TABLE), _studio(work, config, "unseen", SEED + 9)
    heard = load_file(work / "heard.safetensors")["heard"]
    material = unet.Material((), (), stored["table"], heard, stored["begin"], stored["light"])
    painted = tuple(
        finish.Painted(studio.pictures(cells, count), studio.drawn(cells, count))
        for cells, count in zip(SIZES, config.unseen, strict=True)
        if count
    )
    finish.fit(model, codec, material, painted, config.finish, work / "finish.pt")
    model.save_pretrained(work / "unet")
    codec.save_pretrained(work / "vae")


def _judge(work: Path, config: LumiaConfig) -> None:
    """Train the judges of the bundle's pictures, and measure them on paintings that they have not seen."""
    emojis = _emojis(work)
    trained, unseen = (
        judge.paintings(emojis, SEED + i, count, config.deadline) for i, count in _and_unseen(5, config.judged)
    )
    concepts = torch.arange(len(NAMES)).repeat_interleave(unseen.shape[1])
    kinds = {"judge": (judge.build, judge.changed), "judge_second": (judge.build_second, judge.changed_otherwise)}
    for name, (build_judge, change) in kinds.items():
        torch.manual_seed(SEED)
        critic = judge.fit(build_judge(len(NAMES)), trained, config.judge, work / f"{name}.pt", change)
        accuracy = judge.accuracy(critic, change(unseen.flatten(0, 1)), concepts)
        (work / f"{name}.json").write_text(json.dumps(asdict(accuracy)))
        critic.save_pretrained(work / name)


def _reader(work: Path, config: LumiaConfig) -> None:
    """Train the reader of the bundle's light, and measure it on light that it has not seen, as the autoencoder has it.

    Light that the autoencoder softens is no other light: the reader learns from both.
    """
    torch.manual_seed(SEED)
    codec = AutoencoderTiny.from_pretrained(work / CODEC_FIRST).eval()
    trained, unseen = (
        light_reader.paintings(codec, SEED + i, count, config.deadline) for i, count in _and_unseen(7, config.read)
    )
    seen, numbers = torch.cat([trained.painted, trained.coded]), trained.numbers.repeat(2, 1)
    model = light_reader.fit(light_reader.build(), seen, numbers, config.reader, work / "reader.pt")
    found = light_reader.reading(light_reader.read_small(model, unseen.coded), unseen.numbers)
    (work / "reader.json").write_text(json.dumps(asdict(found)))
    model.save_pretrained(work / "reader")


def _and_unseen(seed: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield a seed and how many pictures are learnt from, and another seed and how many are measured with."""
    yield seed, count
    yield seed + 1, -(-count // UNSEEN)


def _conditioning(work: Path, config: LumiaConfig) -> None:
    begin, table = _table(work)
    dice = torch.Generator().manual_seed(SEED)
    noise = (NOISE_AMPLITUDE * torch.randn(WINDOW_SAMPLES, generator=dice)).numpy()
    negative = encoder.heard(_load_ear(work / "encoder"), windows(noise, [0]))
    everything = unet.with_begin(_listen(work, "encoder", config.told, config.device).flatten(0, 1), begin)
    tensors = {
        "bos": begin,
        "idle": unet.with_begin(table[-1:], begin)[0],
        "negative": unet.with_begin(negative, begin)[0],
        "token_mean": everything.mean(dim=0),
        "token_std": everything.std(dim=0),
        "concepts": table[:-1],
        "light": load_file(work / TABLE)["light"],
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, work / "conditioning.safetensors")


def check_device(text: str) -> str:
    """Return the name of a device of torch. Raises ClaviluxError when it is none, or not here."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise ClaviluxError(f"no device {text!r}; expected cpu, cuda or cuda:1")
    count = torch.cuda.device_count()
    if text != "cpu" and int(text.partition(":")[2] or 0) >= count:
        raise ClaviluxError(f"torch {torch.__version__} sees {count or 'no'} cards; expected {text}: use --device cpu")
    return text


def run(options: argparse.Namespace, config: LumiaConfig) -> int:
    """Train as the command line says, and publish, or wrap a parcel; return the exit code."""
    device = check_device(options.device)
    deadline = NEVER if options.minutes is None else time.time() + 60 * options.minutes
    if options.set:  # a mistake is told now, not after hours
        parcel.check_place(options.out)
    else:
        check_place(options.out, overwrite=True)
        build.check_same_recipe(options.work, config.counts)
    check_ear(options.work, options.ear)
    if options.ear:
        bundled_ear.take_over(encoder.build(config.ear_width, config.width), options.ear)
    if not options.set and not done_record(options.work, "data").exists():
        assets.check_all_installed()
    adopt(options.set, options.work)
    config, code = replace(config, ear_of=options.ear).on(device, deadline), 0
    try:
        if options.set:
            train_parts(options.work, config)
        else:
            make(options.work, options.out, config)
    except TimeUpError as stop:
        LOG.info("%s; the same command goes on", stop)
        code = EXIT_STOPPED
    if options.set:
        parcel.wrap(options.work, options.out)
        LOG.info("what is finished is in %s; at home: python -m clavilux.training.lumia.parcel PARCEL DIR", options.out)
    elif not code:
        LOG.info("the bundle is in %s", options.out)
    return code


def main() -> int:
    """Read the command line and make the bundle; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Make the default bundle from open data: many hours of two processor cores, 5 GB, no GPU. "
        f"What is finished is kept; the same command goes on. Exit code {EXIT_STOPPED}: time was up."
    )
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for data, checkpoints and the log")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="replaced where it is a bundle")
    parser.add_argument("--ear", type=Path, metavar="BUNDLE", help="whose encoder the ear goes on from (from nothing)")
    parser.add_argument("--set", type=Path, metavar="PACKED", help="train from a packed set; --out is then a parcel")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    parser.add_argument("--minutes", type=_minutes, metavar="N", help="then stop at a checkpoint (never)")
    options = parser.parse_args()
    start_log(options.work)
    return run(options, LumiaConfig())


def _minutes(text: str) -> float:
    """Return minutes, 0 or more. Raises ArgumentTypeError."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes < NEVER:
        raise argparse.ArgumentTypeError(f"{text!r}; expected minutes")
    return minutes


if __name__ == "__main__":
    sys.exit(command("lumia", main))
