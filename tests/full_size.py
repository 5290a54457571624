"""Checkpoints of the real size and configuration with seeded random weights, for proofs without a hub.

    python -m tests.full_size FOLDER     # 8.6 GB: encoder/ and pipeline/, as tests.tiny lays them out

The encoder is that of `youzarsif/wav2vec2bert_2_diffusion` (w2v-bert-2.0 with a two-layer adapter), the pipeline that
of `stabilityai/sd-turbo`. `clavilux export OUT --encoder FOLDER/encoder --diffusion FOLDER/pipeline` takes both.
"""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from transformers import CLIPTextConfig, CLIPTextModel

from clavilux.benchmarks.peers import turbo
from clavilux.benchmarks.peers.architectures import BUILDERS
from tests.tiny import write_tokenizer


def write_full_size(folder: Path, *, seed: int = 0) -> Path:
    """Write the whole set into `folder`, one model in memory at a time, and return it."""
    torch.manual_seed(seed)
    pipeline = folder / "pipeline"
    built = BUILDERS["sd-turbo"]
    built.encoder().save_pretrained(folder / "encoder")
    built.unet().save_pretrained(pipeline / "unet")
    turbo.autoencoder().save_pretrained(pipeline / "vae")
    AutoencoderTiny().save_pretrained(folder / "taesd")
    text_encoder().save_pretrained(pipeline / "text_encoder")
    write_tokenizer(pipeline / "tokenizer")
    built.scheduler().save_pretrained(pipeline / "scheduler")
    return folder


def text_encoder() -> CLIPTextModel:
    """Return the 340 million parameters of OpenCLIP's ViT-H text tower, 23 layers as in SD 2.x."""
    config = CLIPTextConfig(
        hidden_size=turbo.TOKEN_WIDTH,
        intermediate_size=4096,
        num_hidden_layers=23,
        num_attention_heads=16,
        hidden_act="gelu",
        vocab_size=49408,
        bos_token_id=49406,
        eos_token_id=49407,
    )
    return CLIPTextModel(config).eval()


if __name__ == "__main__":
    print(write_full_size(Path(sys.argv[1])))
