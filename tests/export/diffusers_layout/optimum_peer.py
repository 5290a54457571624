"""Work of the peer's own python for `test_optimum`: load our layout with optimum, and export with optimum.

    PYTHON optimum_peer.py paint FOLDER INPUTS.npz OUT.npz     # INPUTS: prompt [1, L, D], latents [1, C, h, w], steps
    PYTHON optimum_peer.py export PIPELINE OUT

It imports nothing of Clavilux.
"""

import sys

import numpy as np
import torch


def paint(folder: str, inputs: str, out: str) -> None:
    """Write the picture that optimum's pipeline makes: `picture` uint8 [H, W, 3], and what it makes of a word."""
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    pipeline = ORTStableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    given = np.load(inputs)
    made = pipeline(
        prompt_embeds=torch.from_numpy(given["prompt"]),
        latents=torch.from_numpy(given["latents"]),
        num_inference_steps=int(given["steps"]),
        guidance_scale=0.0,
    )
    words, _ = pipeline.encode_prompt(str(given["words"]), "cpu", 1, False)
    encoded = pipeline.vae.encode(torch.from_numpy(given["planes"]))
    latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
    np.savez(out, picture=np.asarray(made.images[0]), words=words.numpy(), latents=latents.numpy())


def export(pipeline: str, out: str) -> None:
    """Export a pipeline as `optimum-cli export onnx` does."""
    from optimum.exporters.onnx import main_export

    main_export(pipeline, output=out, task="text-to-image", do_validation=False, no_post_process=True)


if __name__ == "__main__":
    {"paint": paint, "export": export}[sys.argv[1]](*sys.argv[2:])
