"""The default bundle, from nothing: data, ear, picture codec, picture maker, export, measurement, model card.

    python -m training.lumia --work DIR --out runtime/bundles/lumia

Restartable: finished stages are kept in DIR, an unfinished one resumes from its last checkpoint; delete DIR to begin
anew. The log goes to DIR/training.log as well. Ear and pictures do not need each other, so they are made side by side,
one processor core each.
"""

import argparse
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Wav2Vec2BertModel

from training import assets, autoencoder, encoder, sounds, speech, targets, unet
from training.clips import load_bank
from training.concepts import CONCEPTS, NAMES
from training.dataset import Group, Windows
from training.features import WINDOW_SAMPLES, windows
from training.pictures import Emoji, load_emoji
from training.publish import publish
from training.stages import LOG, Recipe, Workshop

WIDTH = 144  # of the encoder and of its tokens
SEED = 20_261_123
NOISE_AMPLITUDE = 0.01  # deviation of the white noise behind the negative prompt, as in the reference
EAR = Recipe(steps=1800, rate=1.5e-3, warmup=80, average=0.99, seed=SEED)
CODEC = Recipe(steps=1800, rate=2e-3, average=0.99, seed=SEED)
MAKER = Recipe(steps=420, rate=1.2e-3, decay=0.0, average=0.98, checkpoint=100, seed=SEED)
POLISH = Recipe(steps=700, rate=1e-3, decay=0.0, average=0.98, checkpoint=100, seed=SEED + 1)
WEIGHTS = {"flite": 0.16, "espeak": 0.28, "kokoro": 0.38}  # how often each engine is drawn
SOUNDS_WEIGHT = 0.18


@dataclass(frozen=True)
class Plan:
    """How much of everything; the defaults make the default bundle, tests make a miniature."""

    takes: dict[str, int] = field(default_factory=lambda: {"flite": 14, "espeak": 60, "kokoro": 16})  # per concept
    noises: int = 96  # pictures of each concept
    heard: int = 48  # windows of each concept for the picture maker
    width: int = WIDTH
    ramp: int = 900  # steps until the windows are as hard as they get
    ear: Recipe = EAR
    codec: Recipe = CODEC
    maker: Recipe = MAKER
    polish: Recipe = POLISH


def make(work: Path, out: Path, plan: Plan) -> None:
    """Make the bundle `out`, keeping everything in between in `work`."""
    shop = Workshop(work)
    _side_by_side([_ear_line, _picture_line], work, plan)
    shop.run("polish", lambda: _polish(work, plan))
    shop.run("conditioning", lambda: _conditioning(work, plan))
    shop.run("measuring_clips", lambda: _measuring_clips(work))
    publish(work, out, shop.times())


def _side_by_side(lines: list[Callable[[Path, Plan], None]], work: Path, plan: Plan) -> None:
    with ProcessPoolExecutor(len(lines), multiprocessing.get_context("spawn")) as pool:
        for line in [pool.submit(line, work, plan) for line in lines]:
            line.result()


def _ear_line(work: Path, plan: Plan) -> None:
    start_log(work)
    torch.set_num_threads(1)
    shop = Workshop(work)
    for i, engine in enumerate(plan.takes):
        shop.run(f"speech_{engine}", partial(_speech, work, engine, plan.takes[engine], SEED + i))
    shop.run("sounds", lambda: sounds.sound_bank(SEED, held_out=False).save(work / "sounds.safetensors"))
    shop.run("ear", lambda: _ear(work, plan))


def _picture_line(work: Path, plan: Plan) -> None:
    start_log(work)
    torch.set_num_threads(1)
    shop = Workshop(work)
    shop.run("codec", lambda: _codec(work, plan))
    shop.run("latents", lambda: _latents(work, plan))
    shop.run("maker", lambda: _maker(work, plan))


def _speech(work: Path, engine: str, count: int, seed: int) -> None:
    takes = speech.training_takes(seed, {engine: count})
    speech.synthesize(takes, work).save(work / f"speech_{engine}.safetensors")


def training_windows(work: Path, plan: Plan) -> Windows:
    """Return the source of training windows from the clips in `work`."""
    groups = [Group(load_bank(work / f"speech_{engine}.safetensors"), WEIGHTS[engine]) for engine in plan.takes]
    groups.append(Group(load_bank(work / "sounds.safetensors"), SOUNDS_WEIGHT))
    return Windows(groups, NAMES, SEED, ramp=plan.ramp)


def _table(plan: Plan) -> Tensor:
    return targets.token_table(len(NAMES), encoder.token_count(), plan.width, SEED)


def _ear(work: Path, plan: Plan) -> None:
    torch.manual_seed(SEED)
    pupil = encoder.Pupil(encoder.build(plan.width), _table(plan))
    encoder.fit(pupil, training_windows(work, plan), plan.ear, work / "ear.pt")
    pupil.model.save_pretrained(work / "encoder")


def _codec(work: Path, plan: Plan) -> None:
    torch.manual_seed(SEED)
    noise = autoencoder.seeded_noise(SEED + 1, max(1, plan.noises // 8))
    pictures = autoencoder.painted(_emojis(work), noise).flatten(0, 1)
    autoencoder.fit(autoencoder.build(), pictures, plan.codec, work / "codec.pt").save_pretrained(work / "vae")


def _emojis(work: Path) -> list[Emoji | None]:
    folder = assets.npm_package(assets.EMOJI_PACKAGE, work) / "assets"
    return [*(load_emoji(folder / f"{concept.code}.webp") for concept in CONCEPTS), None]


def _latents(work: Path, plan: Plan) -> None:
    model = AutoencoderTiny.from_pretrained(work / "vae")
    noise = autoencoder.seeded_noise(SEED, plan.noises)
    rows = [autoencoder.encoded(model, autoencoder.painted([one], noise)[0]) for one in _emojis(work)]
    save_file({"latents": torch.stack(rows), "noise": noise}, work / "latents.safetensors")


def _material(work: Path, plan: Plan, heard: Tensor) -> unet.Material:
    stored = load_file(work / "latents.safetensors")
    begin = targets.begin_token(plan.width, SEED)
    return unet.Material(stored["latents"], stored["noise"], _table(plan), heard, begin)


def _maker(work: Path, plan: Plan) -> None:
    torch.manual_seed(SEED)
    model = unet.build(plan.width)
    unet.fit(model, _material(work, plan, _table(plan)[:, None]), plan.maker, work / "maker.pt")
    model.save_pretrained(work / "maker")


def _polish(work: Path, plan: Plan) -> None:
    """Go on with the picture maker on tokens that the trained encoder really gives."""
    ear = Wav2Vec2BertModel.from_pretrained(work / "encoder", attn_implementation="eager").eval()
    heard = encoder.heard_by_concept(ear, training_windows(work, plan), len(NAMES) + 1, plan.heard)
    save_file({"heard": heard}, work / "heard.safetensors")
    model = UNet2DConditionModel.from_pretrained(work / "maker")
    unet.fit(model, _material(work, plan, heard), plan.polish, work / "polish.pt")
    model.save_pretrained(work / "unet")
    unet.scheduler().save_pretrained(work / "scheduler")


def _conditioning(work: Path, plan: Plan) -> None:
    ear = Wav2Vec2BertModel.from_pretrained(work / "encoder", attn_implementation="eager").eval()
    begin, table = targets.begin_token(plan.width, SEED), _table(plan)
    dice = torch.Generator().manual_seed(SEED)
    noise = (NOISE_AMPLITUDE * torch.randn(WINDOW_SAMPLES, generator=dice)).numpy()
    negative = encoder.heard(ear, windows(noise, [0]))
    everything = unet.with_begin(load_file(work / "heard.safetensors")["heard"].flatten(0, 1), begin)
    tensors = {
        "bos": begin,
        "idle": unet.with_begin(table[-1:], begin)[0],
        "negative": unet.with_begin(negative, begin)[0],
        "token_mean": everything.mean(dim=0),
        "token_std": everything.std(dim=0),
        "concepts": table[:-1],
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, work / "conditioning.safetensors")


def _measuring_clips(work: Path) -> None:
    speech.synthesize(speech.held_out_takes(), work).save(work / "speech_held_out.safetensors")
    sounds.sound_bank(SEED, held_out=True).save(work / "sounds_held_out.safetensors")


def start_log(work: Path) -> None:
    """Send the log to DIR/training.log and to the terminal."""
    work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(work / "training.log"), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True)
    for chatty in ("httpx", "onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def main() -> None:
    """Read the command line and make the bundle."""
    parser = argparse.ArgumentParser(description="Make the default bundle from open data.")
    parser.add_argument("--work", type=Path, required=True, help="folder for data, checkpoints and the log")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    options = parser.parse_args()
    start_log(options.work)
    make(options.work, options.out, Plan())
    LOG.info("the bundle is in %s", options.out)


if __name__ == "__main__":
    main()
