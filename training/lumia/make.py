"""The default bundle, from nothing: data, ear, picture codec, picture maker, export, measurement, model card.

    python -m clavilux.training.lumia.make --work DIR --out runtime/bundles/lumia

Restartable: finished phases are kept in DIR, an unfinished one resumes from its last checkpoint; delete DIR to begin
anew. The log goes to DIR/training.log as well. Ear and pictures do not need each other, so they are made side by side,
one processor core each.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Wav2Vec2BertModel

from clavilux.training.command_line import LOG, command, start_log
from clavilux.training.features import WINDOW_SAMPLES, windows
from clavilux.training.lumia.data import assets, build, phonemes
from clavilux.training.lumia.data.clips import of_engine, read_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.data.emoji import Emoji, load_emoji
from clavilux.training.lumia.data.speech import TakeCounts
from clavilux.training.lumia.models import autoencoder, encoder, judge, unet, words
from clavilux.training.lumia.models.augmented_windows import Augmentation, Group, Windows
from clavilux.training.lumia.models.train_loop import Recipe, trained
from clavilux.training.lumia.phases import PhaseRunner
from clavilux.training.lumia.publish import publish

WIDTH = 144  # of the tokens
EAR_WIDTH = 192  # of the audio encoder
SEED = 20_261_123
NOISE_AMPLITUDE = 0.01  # deviation of the white noise behind the negative prompt, as in the reference
WORDS = Recipe(steps=4000, rate=2e-3, decay=0.0, average=0.995, seed=SEED)
EAR = Recipe(steps=7500, rate=1.5e-3, warmup=100, average=0.995, seed=SEED)
PRACTICE = Recipe(steps=4500, rate=1e-3, warmup=100, average=0.995, seed=SEED + 4)
CODEC = Recipe(steps=6000, rate=2e-3, average=0.995, seed=SEED)
MAKER = Recipe(steps=4500, rate=1.5e-3, decay=0.0, average=0.995, checkpoint=100, seed=SEED)
POLISH = Recipe(steps=800, rate=8e-4, decay=0.0, average=0.99, checkpoint=100, seed=SEED + 1)
SHARPEN = Recipe(steps=900, rate=1e-3, average=0.99, checkpoint=100, seed=SEED + 2)
JUDGE = Recipe(steps=1500, rate=2e-3, average=0.99, seed=SEED + 3)
SHARES = {"espeak": 0.26, "flite": 0.1, "kokoro": 0.42, "sounds": 0.22}  # how often each kind is drawn
PRACTICE_SHARES = {"espeak": 0.2, "flite": 0.1, "kokoro": 0.4, "sounds": 0.3}
HARDER = Augmentation(speed=1.25, formants=1.18, wild=2.0, colour=5.0)  # what is practised with
SOUNDS = ("recording", "sample", "effect", "instrument", "drums")  # kinds of clips that are not speech


@dataclass(frozen=True)
class LumiaConfig:
    """Amounts of everything; the defaults make the default bundle, tests make a miniature."""

    counts: dict[str, TakeCounts] = field(default_factory=lambda: build.COUNTS)
    codec_noises: int = 3  # pictures of each concept for the codec
    noises: int = 20  # pictures of each concept for the picture maker
    heard: int = 24  # windows of each concept for the picture maker
    told: int = 6  # windows of each concept for the statistics of tokens
    width: int = WIDTH
    ear_width: int = EAR_WIDTH
    channels: tuple[int, ...] = unet.CHANNELS
    ramp: int = 1500  # steps until the windows are as hard as they get
    words: Recipe = WORDS
    ear: Recipe = EAR
    practice: Recipe = PRACTICE
    codec: Recipe = CODEC
    maker: Recipe = MAKER
    polish: Recipe = POLISH
    sharpen: Recipe = SHARPEN
    judge: Recipe = JUDGE


def make(work: Path, out: Path, config: LumiaConfig) -> None:
    """Make the bundle `out`, keeping everything in between in `work`."""
    phases = PhaseRunner(work)
    phases.run("words", lambda: _words(work, config))
    _side_by_side([_ear_line, _picture_line], work, config)
    _side_by_side([_practice_line, _finish_line], work, config)
    phases.run("conditioning", lambda: _conditioning(work, config))
    publish(work, out, phases.times())


def _side_by_side(lines: list[Callable[[Path, LumiaConfig], None]], work: Path, config: LumiaConfig) -> None:
    with ProcessPoolExecutor(len(lines), multiprocessing.get_context("spawn")) as pool:
        for line in [pool.submit(line, work, config) for line in lines]:
            line.result()


def _begin_line(work: Path) -> PhaseRunner:
    start_log(work)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return PhaseRunner(work)


def _ear_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work)
    phases.run("data", lambda: build.build(work, config.counts))
    phases.run("ear", lambda: _ear(work, config))
    phases.run("heard", lambda: _heard(work, config))


def _picture_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work)
    phases.run("codec", lambda: _codec(work, config))
    phases.run("latents", lambda: _latents(work, config))
    phases.run("maker", lambda: _maker(work, config))


def _practice_line(work: Path, config: LumiaConfig) -> None:
    _begin_line(work).run("practice", lambda: _practice(work, config))


def _finish_line(work: Path, config: LumiaConfig) -> None:
    phases = _begin_line(work)
    phases.run("polish", lambda: _polish(work, config))
    phases.run("sharpen", lambda: _sharpen(work, config))
    phases.run("judge", lambda: _judge(work, config))


def _words(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    tokenizer = words.build_tokenizer(work / "tokenizer")
    model = words.build(tokenizer, config.width, encoder.token_count() + 1)
    words.fit(model, tokenizer, words.directions(len(NAMES) + 1, config.width, SEED), config.words, work / "words.pt")
    model.save_pretrained(work / "text_encoder")
    begin, table = words.token_table(model, tokenizer)
    save_file({"begin": begin, "table": table}, work / "table.safetensors")


def _table(work: Path) -> tuple[Tensor, Tensor]:
    """Return the first token [D] of every prompt, and the concepts' tokens [K + 1, N, D], idle last."""
    stored = load_file(work / "table.safetensors")
    return stored["begin"], stored["table"]


def training_windows(
    work: Path, ramp: int = 1, *, shares: Mapping[str, float] | None = None, options: Augmentation | None = None
) -> tuple[Windows, int]:
    """Return the source of training windows from the clips in `work`, and the number of phonemes."""
    clips, shares = read_clips(work, "train"), shares or SHARES
    spoken = phonemes.phonemes_of((clip.text for clip in clips), work)
    chosen = {kind: of_engine(clips, *(SOUNDS if kind == "sounds" else (kind,))) for kind in shares}
    rows, count = phonemes.numbered([clip for part in chosen.values() for clip in part], spoken)
    groups = [Group(part, shares[kind]) for kind, part in chosen.items()]
    return Windows(groups, NAMES, SEED, phonemes=rows, options=options, ramp=ramp), count


def _ear(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    data, count = training_windows(work, config.ramp)
    pupil = encoder.Pupil(encoder.build(config.ear_width, config.width), _table(work)[1], count)
    encoder.fit(pupil, data, config.ear, work / "ear.pt")
    pupil.model.save_pretrained(work / "encoder_first")


def _practice(work: Path, config: LumiaConfig) -> None:
    """Go on with the audio encoder on stranger sound, while the pictures are finished on what it hears already."""
    data, count = training_windows(work, shares=PRACTICE_SHARES, options=HARDER)
    pupil = encoder.Pupil(encoder.build(config.ear_width, config.width), _table(work)[1], count)
    pupil.load_state_dict(trained(work / "ear.pt"))
    encoder.fit(pupil, data, config.practice, work / "practice.pt")
    pupil.model.save_pretrained(work / "encoder")


def _load_ear(folder: Path) -> Wav2Vec2BertModel:
    return Wav2Vec2BertModel.from_pretrained(folder, attn_implementation="eager").eval()


def _heard(work: Path, config: LumiaConfig) -> None:
    """Keep tokens that the encoder really gives before it practises, for every concept and for idle.

    Misheard ones would teach the pictures to show what was meant where another thing was heard.
    """
    heard = encoder.understood(_listen(work, "encoder_first", config.heard), _table(work)[1])
    save_file({"heard": heard}, work / "heard.safetensors")


def _listen(work: Path, ear: str, each: int) -> Tensor:
    """Return the tokens [K + 1, each, N, D] that an encoder gives for fresh training windows of every concept."""
    data, _ = training_windows(work)
    return encoder.heard_by_concept(_load_ear(work / ear), data, len(NAMES) + 1, each)


def _codec(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    pictures = autoencoder.painted(_emojis(work), autoencoder.seeded_noise(SEED + 1, config.codec_noises)).flatten(0, 1)
    autoencoder.fit(autoencoder.build(), pictures, config.codec, work / "codec.pt").save_pretrained(work / "vae_first")


def _emojis(work: Path) -> list[Emoji | None]:
    folder = assets.npm_package(assets.EMOJI_PACKAGE, work) / "assets"
    return [*(load_emoji(folder / f"{concept.code}.webp") for concept in CONCEPTS), None]


def _concept_noise(concept: int, count: int) -> Tensor:
    """Return the noises under which a concept is painted: its own, so that together they are many."""
    return autoencoder.seeded_noise(SEED * 1000 + concept, count)


def _latents(work: Path, config: LumiaConfig) -> None:
    model = AutoencoderTiny.from_pretrained(work / "vae_first")
    noise = torch.stack([_concept_noise(i, config.noises) for i in range(len(NAMES) + 1)])
    pairs = zip(_emojis(work), noise, strict=True)
    rows = [autoencoder.encoded(model, autoencoder.painted([one], part)[0]) for one, part in pairs]
    save_file({"latents": torch.stack(rows), "noise": noise}, work / "latents.safetensors")


def _material(work: Path, heard: Tensor) -> unet.Material:
    stored, (begin, table) = load_file(work / "latents.safetensors"), _table(work)
    return unet.Material(stored["latents"], stored["noise"], table, heard, begin)


def _maker(work: Path, config: LumiaConfig) -> None:
    torch.manual_seed(SEED)
    model = unet.build(config.width, config.channels)
    unet.fit(model, _material(work, _table(work)[1][:, None]), config.maker, work / "maker.pt")
    model.save_pretrained(work / "maker")


def _polish(work: Path, config: LumiaConfig) -> None:
    """Go on with the picture maker on tokens that the trained encoder really gives."""
    model = UNet2DConditionModel.from_pretrained(work / "maker")
    heard = load_file(work / "heard.safetensors")["heard"]
    unet.fit(model, _material(work, heard), config.polish, work / "polish.pt")
    model.save_pretrained(work / "unet")
    unet.scheduler().save_pretrained(work / "scheduler")


def _sharpen(work: Path, config: LumiaConfig) -> None:
    """Go on with the codec's decoder on latents that the picture maker really gives, to undo their softness."""
    model = UNet2DConditionModel.from_pretrained(work / "unet").eval()
    material = _material(work, load_file(work / "heard.safetensors")["heard"])
    noise, latents = material.noise[:, : config.codec_noises], unet.imagined_table(model, material, config.codec_noises)
    pairs = zip(_emojis(work), noise, strict=True)
    pictures = torch.cat([autoencoder.painted([one], part)[0] for one, part in pairs])
    codec = AutoencoderTiny.from_pretrained(work / "vae_first")
    autoencoder.sharpen(codec, latents.flatten(0, 1), pictures, config.sharpen, work / "sharpen.pt")
    codec.save_pretrained(work / "vae")


def _judge(work: Path, config: LumiaConfig) -> None:
    """Train the judge of the bundle's pictures, and measure it on paintings that it has not seen."""
    torch.manual_seed(SEED)
    emojis = _emojis(work)[:-1]
    trained, unseen = (judge.paintings(emojis, autoencoder.seeded_noise(SEED + i, config.codec_noises)) for i in (5, 6))
    critic = judge.fit(judge.build(len(NAMES)), trained, config.judge, work / "judge.pt")
    concepts = torch.arange(len(NAMES)).repeat_interleave(unseen.shape[1])
    accuracy = judge.accuracy(critic, judge.changed(unseen.flatten(0, 1)), concepts)
    (work / "judge.json").write_text(json.dumps(asdict(accuracy)))
    critic.save_pretrained(work / "judge")


def _conditioning(work: Path, config: LumiaConfig) -> None:
    begin, table = _table(work)
    dice = torch.Generator().manual_seed(SEED)
    noise = (NOISE_AMPLITUDE * torch.randn(WINDOW_SAMPLES, generator=dice)).numpy()
    negative = encoder.heard(_load_ear(work / "encoder"), windows(noise, [0]))
    everything = unet.with_begin(_listen(work, "encoder", config.told).flatten(0, 1), begin)
    tensors = {
        "bos": begin,
        "idle": unet.with_begin(table[-1:], begin)[0],
        "negative": unet.with_begin(negative, begin)[0],
        "token_mean": everything.mean(dim=0),
        "token_std": everything.std(dim=0),
        "concepts": table[:-1],
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, work / "conditioning.safetensors")


def main() -> None:
    """Read the command line and make the bundle."""
    parser = argparse.ArgumentParser(
        description="Make the default bundle from open data: some 3 hours of a processor core, 2 GB, no GPU. "
        "What is finished is kept; the same command goes on."
    )
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for data, checkpoints and the log")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="replaced where it is a bundle")
    options = parser.parse_args()
    start_log(options.work)
    make(options.work, options.out, LumiaConfig())
    LOG.info("the bundle is in %s", options.out)


if __name__ == "__main__":
    sys.exit(command("lumia", main))
