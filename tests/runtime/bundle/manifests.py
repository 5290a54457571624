"""A complete manifest to copy and to spoil, and a bundle's folder around it whose graphs are placeholders."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

from clavilux.runtime.bundle.bundle import Conditioning, write_conditioning, write_manifest
from clavilux.runtime.bundle.manifest_json import parse_manifest
from clavilux.runtime.files import describe_file

COUNT, WIDTH = 3, 4  # of the prompt's tokens

DOCUMENT: dict[str, Any] = {
    "format": 1,
    "name": "small",
    "licence": "Apache-2.0",
    "sources": [{"component": "unet", "origin": "someone/unet", "revision": "abc", "licence": "MIT"}],
    "audio": {
        "sample_rate": 16000,
        "window_samples": 32000,
        "hop_samples": 1600,
        "mel_bins": 80,
        "lead_in": "silence",
    },
    "tokens": {"count": COUNT, "width": WIDTH},
    "latents": {"channels": 4, "height": 8, "width": 16},
    "picture": {"height": 64, "width": 128},
    "schedule": {
        "kind": "euler",
        "prediction": "epsilon",
        "alphas_cumprod": [0.9, 0.6, 0.3, 0.1],
        "timesteps": {"1": [3], "2": [3, 1.5]},
        "initial_noise": 0.95,
        "final_alpha": 1.0,
    },
    "precision": {
        "arithmetic": "float16",
        "storage": "float16",
        "kept": [{"component": "denoiser", "operators": "Sin, Cos", "count": 2, "why": "phases of the timestep"}],
        "choices": [{"component": "decoder", "arithmetic": "float32", "why": "as fast"}],
    },
    "files": {"denoiser.onnx": {"bytes": 5, "sha256": "0" * 64}},
    "parity": [{"component": "denoiser", "figure": "cosine", "value": 0.99, "threshold": 0.9}],
    "concepts": ["dog", "cat"],
    "evidence": {"similarity": 0.4, "persistence": 0.1, "held_similarity": 0.7, "held_persistence": 2.0},
    "steps": 2,
    "guidance": {"kind": "once", "scale": 3.0, "delta": 0.5},
    "sizes": {"smallest": 64, "largest": 256, "multiple": 64},
    "batch": 2,
    "light": False,
}


def document(path: str = "", value: object = None) -> dict[str, Any]:
    """Return a fresh DOCUMENT in which the field at `path` ("audio.hop_samples") is `value`, or gone if None."""
    changed = copy.deepcopy(DOCUMENT)
    if path:
        *way, key = path.split(".")
        table = changed
        for name in way:
            table = table[name]
        if value is None:
            del table[key]
        else:
            table[key] = value
    return changed


def conditioning(concepts: int = 2) -> Conditioning:
    """Return embeddings of the right shapes, each element different."""
    names = ("negative", "idle", "token_mean", "token_std")
    arrays = {
        name: np.arange(COUNT * WIDTH, dtype=np.float32).reshape(COUNT, WIDTH) + i for i, name in enumerate(names)
    }
    named = np.ones((concepts, COUNT - 1, WIDTH), np.float32) if concepts else None
    return Conditioning(bos=np.arange(WIDTH, dtype=np.float32), concepts=named, **arrays)


def write_bundle(folder: Path, changed: dict[str, Any] | None = None, *extra: str) -> Path:
    """Write a bundle of placeholder graphs, with `extra` files besides the required ones, and return its folder."""
    folder.mkdir()
    for name in ("audio_encoder.onnx", "denoiser.onnx", "decoder.onnx", *extra):
        (folder / name).write_bytes(b"graph of " + name.encode())
    write_conditioning(folder, conditioning())
    files = {path.name: vars(describe_file(path)) for path in folder.iterdir()}
    write_manifest(folder, parse_manifest(json.dumps((changed or document()) | {"files": files})))
    return folder
