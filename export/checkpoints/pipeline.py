"""A pipeline's own account of itself: of which family it is, and which scheduler its UNet was trained with."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clavilux.export.checkpoints.load import Sources
from clavilux.export.checkpoints.locate import Config, Where, find, join, list_files, origin, read_config
from clavilux.runtime.errors import ExportError

MODEL_INDEX = "model_index.json"
SCHEDULER_CONFIG = "scheduler_config.json"
EXPECTED = "expected one of SD 1.x or 2.x, with a UNet2DConditionModel"

NOT_AVERAGED = "non_ema"  # variant of weights that stand beside averaged ones

TRAINED_WITH: Mapping[str, Any] = {
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
}
"""Settings of a scheduler that belong to the weights of its UNet, with what diffusers takes where they are not said."""


def check_pipeline(sources: Sources) -> None:
    """Raise ExportError when the pipeline says that it is of another family; where it says nothing, its parts will."""
    place = sources.pipeline()
    index: Config = {}
    if place is not None:
        with suppress(ExportError):  # what is not there, or not to be had, is told of the parts
            path = find(place, "pipeline", MODEL_INDEX)
            index = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    parts = {name: entry[1] for name, entry in index.items() if isinstance(entry, list) and entry[1:] and entry[1]}
    name = f"{place} is a {index.get('_class_name', 'pipeline')}"
    if parts and "unet" not in parts:
        denoiser = next(
            (kind for part, kind in parts.items() if part in ("transformer", "prior", "decoder")), "no UNet"
        )
        raise ExportError(f"{name}, which paints with {denoiser}; {EXPECTED}")
    if "text_encoder_2" in parts:
        raise ExportError(f"{name}, which has two text encoders; {EXPECTED}")


def scheduler_notes(sources: Sources, config: Config) -> Iterator[str]:
    """Yield where a scheduler's configuration differs from what the UNet was trained with, as far as that is known."""
    known, whose = sources.told, "its own file's marks say"
    place = sources.pipeline()
    if not known and place is not None and (own := join(place, "scheduler")) != sources.scheduler:
        with suppress(ExportError):  # a pipeline may lack one
            known = {**TRAINED_WITH, **read_config(own, "scheduler", SCHEDULER_CONFIG)}
            whose = f"the unet's own, {origin(own)}, has"
    for key, usual in TRAINED_WITH.items():
        found, expected = config.get(key, usual), known.get(key, config.get(key, usual))
        if found != expected:
            yield (
                f"scheduler {sources.scheduler} has {key} {found}, {whose} {expected}; "
                "if pictures come out as noise, give a --scheduler that has it too"
            )


def averaged_notes(sources: Sources) -> Iterator[str]:
    """Yield which weights are taken of a UNet that has averaged ones (EMA) beside plain ones."""
    unet = Path(sources.unet)
    if sources.variant != NOT_AVERAGED and any(f".{NOT_AVERAGED}." in file for file in _files(sources.unet)):
        yield (
            f"unet {unet} has weights called {NOT_AVERAGED} too; those without that word, the averaged ones, are "
            f"taken: --variant {NOT_AVERAGED} takes the others"
        )
    if unet.name == "unet" and (averaged := unet.with_name("unet_ema")).is_dir():
        yield f"unet {unet} has averaged weights beside it, which are not taken; --unet {averaged} takes them"


def _files(where: Where) -> Iterable[str]:
    """Return the names of a checkpoint's files; none where they cannot be seen, which is told when they are read."""
    try:
        return list_files(where, "unet")
    except ExportError:
        return ()
