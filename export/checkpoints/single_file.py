"""Checkpoints that are one file, as trainers and galleries publish them, become folders in diffusers' format.

    sources = unpack_single_files(sources, scratch)

A file holds a whole pipeline or one part. Weights go through diffusers' own single-file loader, one part in memory at a
time, and keep the type they are stored in. Configurations, scheduler and tokenizer come from
`Sources.single_file_config`; without it, from the pipeline on the hub that diffusers takes the file for.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    DIFFUSERS_DEFAULT_PIPELINE_PATHS,
    SingleFileComponentError,
    create_diffusers_clip_model_from_ldm,
    infer_diffusers_model_type,
)
from torch import Tensor
from transformers import CLIPTextModel

from clavilux.export.checkpoints.load import Sources
from clavilux.export.checkpoints.locate import Where, converting, fetch_file, join, names_file, read_config, search
from clavilux.export.checkpoints.weights import Header, is_pickle, read_header, read_pickle, read_tensors, silent
from clavilux.export.library_logs import quietly
from clavilux.export.options import Progress
from clavilux.runtime.errors import ExportError

PREFIXES = {
    "unet": ("model.diffusion_model.",),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.",),
}
"""Prefixes of the names of a part's weights in a file that holds a whole pipeline."""

LDM_BARE = "input_blocks."  # a UNet alone, in the original's names
BARE = {"unet": (LDM_BARE, "down_blocks."), "vae": ("decoder.",)}
"""Prefixes of some names in a file that holds this part alone."""

CLASSES = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
UNWEIGHED = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}
"""Parts without weights, by the file that shows where they are."""

CLIP = "cond_stage_model.transformer.text_model."
OLD_CLIP = re.compile(r"^cond_stage_model\.transformer\.(?!text_model\.)")  # as merges of the first year have it

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
FAMILIES = ("v1", "v2")  # diffusers' words for SD 1.x and 2.x
V2_WIDTH = 1024  # of a token
LORA_MARKS = ("lora_", ".lora", "hada_", "lokr_")
SDXL_MARK = "conditioner.embedders."
TAESD_MARK = "decoder.layers."
V_MARK, ZERO_SNR_MARK = "v_pred", "ztsnr"  # empty tensors, by which ComfyUI and others know
PREDICTION = "modelspec.prediction_type"  # in the metadata that kohya's trainers write


@dataclass(frozen=True)
class SingleFile:
    """A file of weights on this machine."""

    path: Path
    called: str  # in messages
    outline: Mapping[str, Tensor]  # the weights without their values
    metadata: Mapping[str, str]
    pickled: bool
    empty: bool = False  # its weights are not to be read: they have no values

    def tensors(self, prefixes: tuple[str, ...] = ("",)) -> dict[str, Tensor]:
        """Read the weights whose names begin with one of `prefixes`."""
        if self.empty:
            return {name: one for name, one in self.outline.items() if name.startswith(prefixes)}
        if not self.pickled:
            return read_tensors(self.path, self.called, prefixes)
        return {name: one for name, one in read_pickle(self.path, self.called).items() if name.startswith(prefixes)}

    def holds(self, *prefixes: str) -> bool:
        """Return whether a name begins with one of `prefixes`."""
        return any(name.startswith(prefixes) for name in self.outline)

    def told(self) -> dict[str, Any]:
        """Return what the file says of the scheduler that it was trained with, in the words of a configuration."""
        words = {"v": "v_prediction", "epsilon": "epsilon"}
        prediction = "v" if V_MARK in self.outline else self.metadata.get(PREDICTION, "")
        found: dict[str, Any] = {"prediction_type": words[prediction]} if prediction in words else {}
        return found | ({"rescale_betas_zero_snr": True} if ZERO_SNR_MARK in self.outline else {})

    @property
    def family(self) -> str:
        """Kind that diffusers takes the file for; one of FAMILIES, when it can be used here."""
        widths = {one.shape[-1] for name, one in self.outline.items() if name.endswith("attn2.to_k.weight")}
        with converting(self.called):
            found: str = infer_diffusers_model_type(dict(self.outline))
        return "v2" if found == "v1" and widths == {V2_WIDTH} else found


def unpack_single_files(sources: Sources, scratch: Path, report: Progress = silent, *, weights: bool = True) -> Sources:
    """Return `sources` with every single file among the diffusion parts replaced by a folder, written into `scratch`.

    Without `weights` the folders hold configurations alone. Raises ExportError for a file that is no checkpoint of the
    SD 1.x or 2.x family, that lacks a part, or whose configuration cannot be found. `report` is told each step.
    """
    folders: dict[str, Where] = {}
    told: dict[str, Any] = {}
    notes: list[str] = []
    places = list(dict.fromkeys(sources.checkpoints().values()))  # so that parts of one file lie beside each other
    for role in (*CLASSES, *UNWEIGHED):
        where = getattr(sources, role)
        if where is not None and names_file(where):
            file = replace(open_single_file(where, role, allow_pickle=sources.allow_pickle), empty=not weights)
            if role == "unet":
                told = file.told()
                if file.holds("model_ema.diffusion"):
                    notes.append(f"{file.called} holds averaged weights (EMA) beside the plain ones, which are taken")
            if role in CLASSES:
                if weights:
                    report(f"{role}: unpacking {file.path.name}")
                folders[role] = unpack_single_file(
                    file, scratch / str(places.index(where)) / role, role, sources.single_file_config
                )
            else:
                guessed = role == "tokenizer" and not sources.words  # BOS, where no tokenizer is to be had
                with suppress(ExportError) if guessed else nullcontext():
                    folders[role] = _config_place(file, role, UNWEIGHED[role], sources.single_file_config)
            if role == "scheduler" and sources.single_file_config is None and file.family == "v2":
                notes.append(f"scheduler: {folders[role]}, which predicts v; for sd-turbo or 2-1-base name theirs")
    return replace(sources, **folders, told=told, notes=tuple(notes)) if folders else sources  # type: ignore[arg-type]


def open_single_file(where: Where, role: str, *, allow_pickle: bool = False) -> SingleFile:
    """Return the file that `where` names, fetched from the hub if need be, without reading a safetensors' weights.

    Raises ExportError for what is no checkpoint of the SD 1.x or 2.x family.
    """
    path, called = fetch_file(where, role), f"{role.replace('_', ' ')} {where}"
    pickled = allow_pickle and is_pickle(path)
    header = Header({}, {}, {}) if pickled else read_header(path, called)
    outline = read_pickle(path, called) if pickled else _outline(header)
    file = SingleFile(path, called, {name: one.to("meta") for name, one in outline.items()}, header.metadata, pickled)
    if any(mark in name for name in outline for mark in LORA_MARKS):
        raise ExportError(f"{called} is a LoRA; expected a checkpoint: give it with --lora")
    found = "SDXL" if file.holds(SDXL_MARK) else file.family
    if found not in FAMILIES:
        raise ExportError(f"{called} is a checkpoint of the kind {found}; expected SD 1.x or 2.x")
    return file


def _outline(header: Header) -> dict[str, Tensor]:
    return {
        name: torch.empty(shape, dtype=TYPES.get(header.types[name]), device="meta")
        for name, shape in header.shapes.items()
    }


def unpack_single_file(file: SingleFile, folder: Path, role: str, config: Where | None = None) -> Path:
    """Write the part of `file` that plays `role`, one of CLASSES, into `folder` in diffusers' format; return `folder`.

    Raises ExportError when the file lacks the part, or weights of it, or when they do not fit the configuration.
    """
    if find_spec("accelerate") is None:
        raise ExportError("accelerate is not installed, which single files need; run: pip install 'clavilux[export]'")
    weights = _weights(file, role)
    settings = read_config(_config_place(file, role, "config.json", config), role)
    expected = CLASSES[role].__name__
    if settings.get("_class_name", expected) != expected:
        raise ExportError(f"{file.called}: its configuration is of a {settings['_class_name']}; expected {expected}")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    if not file.empty:
        with converting(file.called), quietly():
            _build(CLASSES[role], weights, folder, file.called).save_pretrained(folder)
    return folder


def _build(kind: Any, weights: dict[str, Tensor], folder: Path, called: str) -> Any:
    """Let diffusers translate the names; a weight that is not in the file stays on the meta device, and is missed."""
    stored = Counter(weight.dtype for weight in weights.values()).most_common(1)[0][0]
    how = {"config": str(folder), "torch_dtype": stored, "local_files_only": True}
    try:
        if kind is CLIPTextModel:
            model = create_diffusers_clip_model_from_ldm(kind, weights, **how)
        else:
            model = kind.from_single_file(weights, **how, low_cpu_mem_usage=True)
    except SingleFileComponentError as error:
        raise ExportError(f"{called} holds nothing that is known of a {kind.__name__}; expected its weights") from error
    except NotImplementedError as error:  # torch, asked to move a weight that stayed on the meta device
        raise ExportError(f"{called} lacks weights of a {kind.__name__}; does --config fit the file?") from error
    if any(weight.is_meta for weight in model.parameters()):
        raise ExportError(f"{called} lacks weights of a {kind.__name__}; does --config fit the file?")
    return model


def _weights(file: SingleFile, role: str) -> dict[str, Tensor]:
    if file.holds(*PREFIXES[role]):
        found = file.tensors(PREFIXES[role])
        return {OLD_CLIP.sub(CLIP, name): one for name, one in found.items()} if role == "text_encoder" else found
    if role == "vae" and file.holds(TAESD_MARK):
        raise ExportError(f"{file.called} is a TAESD; expected its folder, or a hub name such as madebyollin/taesd")
    if not file.holds(*BARE.get(role, (PREFIXES[role]))):
        called = role.replace("_", " ")
        raise ExportError(f"{file.called} holds no {called}; expected one, or a folder with --{role.replace('_', '-')}")
    prefix = PREFIXES[role][0] if file.holds(LDM_BARE) else ""
    return {prefix + name: weight for name, weight in file.tensors().items()}


def _config_place(file: SingleFile, role: str, name: str, config: Where | None) -> Where:
    """Return where `name` of the part lies: in the part's folder of a pipeline, or in `config` itself."""
    base = DIFFUSERS_DEFAULT_PIPELINE_PATHS[file.family]["pretrained_model_name_or_path"] if config is None else config
    inside = join(base, role)
    folders = [inside, base] if Path(inside).is_dir() or not Path(base).is_dir() else [base]
    try:
        for folder in folders:
            if next(search(folder, role, [name]), None) is not None:
                return folder
    except ExportError as error:
        if config is not None:
            raise
        raise ExportError(
            f"{file.called} comes without a configuration, and {base} cannot be had; "
            "give --config FOLDER, a pipeline in diffusers' format"
        ) from error
    raise ExportError(f"{base} has no {role}/{name}; expected the configuration of {file.path.name}")
