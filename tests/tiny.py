"""Tiny but real checkpoints: every class as published, seeded random weights, saved in Hugging Face's own layout.

    python -m tests.tiny FOLDER     # writes the checkpoints, and the bundle FOLDER/bundle

The folder looks as a user's does: `encoder/` beside `pipeline/{unet,scheduler,vae,text_encoder,tokenizer}/`.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.export.build import export_bundle
from clavilux.export.checkpoints.load import Sources
from clavilux.export.options import Options
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import GuidanceSpec

WIDTH = 32  # of a token
WINDOW_SAMPLES = 32_000  # 2 s: 198 frames, 100 stacked, 25 tokens
HOP_SAMPLES = 1600  # 0.1 s
PICTURE = (64, 64)  # pixels; latents of 8x8


def write_checkpoints(folder: Path, *, seed: int = 0) -> Path:
    """Write the whole set into `folder` and return it."""
    torch.set_num_threads(1)  # models this small lose more by waiting for each other's threads than they gain
    torch.manual_seed(seed)
    write_encoder(folder / "encoder")
    write_unet(folder / "pipeline" / "unet")
    write_scheduler(folder / "pipeline" / "scheduler")
    write_vae(folder / "pipeline" / "vae")
    write_text_encoder(folder / "pipeline" / "text_encoder")
    write_tokenizer(folder / "pipeline" / "tokenizer")
    return folder


def write_encoder(folder: Path, **changes: object) -> None:
    settings = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 2 * WIDTH,
        "feature_projection_input_dim": 160,
        "add_adapter": True,
        "adapter_kernel_size": 3,
        "adapter_stride": 2,
        "num_adapter_layers": 2,
        "layerdrop": 0.0,
        "conv_depthwise_kernel_size": 7,
        "initializer_range": 0.2,
    }
    Wav2Vec2BertModel(Wav2Vec2BertConfig(**settings | changes)).eval().save_pretrained(folder)


def write_unet(folder: Path, **changes: object) -> None:
    settings = {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": (2, 4),
        "norm_num_groups": 8,
        "use_linear_projection": True,
    }
    unet = UNet2DConditionModel(**settings | changes).eval()
    listen_closely(unet)
    unet.save_pretrained(folder)


def listen_closely(unet: UNet2DConditionModel) -> None:
    """Make sound visible: with fresh random weights it would not change a pixel."""
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if "attn2.to_v" in name or "attn2.to_out" in name or name == "conv_out.weight":
                weight.mul_(6.0)


def write_scheduler(folder: Path, kind: type = EulerDiscreteScheduler, **changes: object) -> None:
    """Write a scheduler configured as sd-turbo's, but for the prediction: it gives random weights visible pictures."""
    settings = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "timestep_spacing": "trailing",
        "steps_offset": 1,
        "prediction_type": "v_prediction",
    }
    kind(**settings | changes).save_pretrained(folder)


def write_vae(folder: Path, block: int = 1) -> None:
    """Write an autoencoder that makes eight pixels of a latent on each side, blocks of `block` of them at once."""
    levels = 4 - block.bit_length() + 1
    narrow, single = (8,) * levels, (1,) * levels
    vae = AutoencoderTiny(
        in_channels=3 * block**2,
        out_channels=3 * block**2,
        encoder_block_out_channels=narrow,
        decoder_block_out_channels=narrow,
        num_encoder_blocks=single,
        num_decoder_blocks=single,
    )
    with torch.no_grad():  # fresh weights would make every picture black
        last = vae.decoder.layers[-1]
        last.weight.mul_(6.0)
        last.bias.fill_(0.5)
    vae.eval().save_pretrained(folder)


def write_text_encoder(folder: Path, **changes: object) -> None:
    settings = {
        "vocab_size": len(vocabulary()),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
        "bos_token_id": len(vocabulary()) - 2,
        "eos_token_id": len(vocabulary()) - 1,
    }
    CLIPTextModel(CLIPTextConfig(**settings | changes)).eval().save_pretrained(folder)


def vocabulary() -> dict[str, int]:
    """Return CLIP's byte-level alphabet, alone and at the end of a word, without any merges."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {word: i for i, word in enumerate(words)}


def write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "!",
        "model_max_length": 77,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def tiny_sources(checkpoints: Path) -> Sources:
    """Name the checkpoints that `write_checkpoints` wrote."""
    return Sources.from_pipeline(checkpoints / "encoder", checkpoints / "pipeline")


def tiny_options(name: str = "tiny") -> Options:
    return Options(
        name=name, licence="Apache-2.0", window_samples=WINDOW_SAMPLES, hop_samples=HOP_SAMPLES, picture=PICTURE
    )


def export_tiny(checkpoints: Path, out: Path) -> Path:
    """Export `checkpoints` to the bundle `out` and return it."""
    return export_bundle(tiny_sources(checkpoints), out, tiny_options()).folder


def export_flexible(checkpoints: Path, out: Path) -> Path:
    """Export a bundle of many sizes and four pictures at once, with guidance and an image encoder, without words."""
    sources = replace(tiny_sources(checkpoints), tokenizer=None)
    options = replace(
        tiny_options("flexible"),
        sizes=(16, 128),
        batch=4,
        steps=6,
        guidance=GuidanceSpec("classic", 2.5),
        image_encoder=True,
        proof_steps=2,
    )
    return export_bundle(sources, out, options).folder


EXPORTS = {"tiny": export_tiny, "flexible": export_flexible}
"""Makers of the bundles of `tests.exported`, each from checkpoints and a place."""


if __name__ == "__main__":
    folder = write_checkpoints(Path(sys.argv[1]))
    print(Bundle.open(export_tiny(folder, folder / "bundle")).folder)
