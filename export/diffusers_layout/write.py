"""The plain parts of a pipeline beside the bundle's own graphs, as optimum loads them: `--layout diffusers`.

    ORTStableDiffusionPipeline.from_pretrained("my-bundle/diffusers")

Weights are float32, as optimum writes them: whoever asks for this layout has other programs to feed, which convert by
themselves.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import diffusers
import onnx_ir as ir
import torch

from clavilux.export.checkpoints.load import TOKENIZER_PARTS, TOKENIZER_SETTINGS, WHOLE_TOKENIZER, load_tokenizer
from clavilux.export.checkpoints.locate import Where, search
from clavilux.export.diffusers_layout.graphs import PlainGraph, decoder_part, encoder_part, text_part, unet_part
from clavilux.export.given_unet import OnnxUnet, find_onnx_unet
from clavilux.export.graphs.convert import Traced, empty, release, save, to_onnx
from clavilux.export.parts import Parts
from clavilux.export.plan import Plan
from clavilux.export.spec import Component

FOLDER = "diffusers"
WEIGHTS_SUFFIX = "_data"  # model.onnx_data, the only name that optimum fetches from the hub
PRIVATE = "_name_or_path"  # in configurations: a path of this machine
ABSENT = ("feature_extractor", "image_encoder", "safety_checker", "text_encoder", "tokenizer")
"""Parts that a pipeline may lack; diffusers wants it named all the same."""


def trace_parts(parts: Parts, folder: Path) -> Iterator[Traced]:
    """Write the pipeline's graphs to `folder`, one after another, and give each to be proved.

    Weights are loaded and let go as one goes on. A UNet that is a graph already is copied, and needs no proof.
    """
    shutil.rmtree(folder, ignore_errors=True)
    given = find_onnx_unet(parts.plan.sources.unet)
    if given:
        _copy_unet(given, folder / "unet")
    words = (text_part,) if parts.plan.words else ()
    for make in (*(() if given else (unet_part,)), decoder_part, encoder_part, *words):
        yield _traced(make(parts), parts, folder)


def write_settings(plan: Plan, folder: Path) -> None:
    """Write what a pipeline is besides its graphs: tokenizer, scheduler, and the index that names them all."""
    if plan.words is not None:
        copy_tokenizer(plan.words, folder / "tokenizer")
    plan.schedules.scheduler.save_pretrained(folder / "scheduler")
    _write_index(plan, folder / "model_index.json")


def copy_tokenizer(where: Where, folder: Path) -> None:
    """Copy a tokenizer; a vocabulary that lies in tokenizer.json alone is written apart too, for older readers."""
    folder.mkdir()
    for path in search(where, "tokenizer", (*WHOLE_TOKENIZER, *TOKENIZER_PARTS, *TOKENIZER_SETTINGS)):
        shutil.copyfile(path, folder / path.name)
    if not all((folder / name).is_file() for name in TOKENIZER_PARTS):
        load_tokenizer(where).tokenizer.model.save(str(folder))


def _traced(part: PlainGraph, parts: Parts, folder: Path) -> Traced:
    """Write one graph where it stays, beside its configuration."""
    component, cases = part.component, part.cases()
    parts.report(f"{component.name}: tracing")
    example = {name: torch.from_numpy(array) for name, array in cases[0].inputs.items()}
    model = _named(to_onnx(part.module, component, example), component)
    path = folder / component.file
    _write_config(json.loads(part.config), path.parent)
    save(model, path, WEIGHTS_SUFFIX)
    release(model)
    empty(part.module)
    return Traced(component, path, cases)


def _named(model: ir.Model, component: Component) -> ir.Model:
    """Name open axes as they are declared.

    The tracer's own names would contradict that inside, where its `height` counts multiples; so they go.
    """
    values = (*model.graph.inputs, *model.graph.outputs)
    shapes = [value.shape or ir.Shape([]) for value in values]
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    for value, shape, port in zip(values, shapes, (*component.inputs, *component.outputs), strict=True):
        dims = [dim if isinstance(dim, int) else axis for dim, axis in zip(shape, port.axes, strict=True)]
        value.shape = ir.Shape(dims)
    return model


def _copy_unet(given: OnnxUnet, folder: Path) -> None:
    _write_config(given.config, folder)
    for path in given.files:
        shutil.copyfile(path, folder / path.name)


def _write_config(config: Mapping[str, object], folder: Path) -> None:
    folder.mkdir(parents=True)
    _write_json({key: value for key, value in config.items() if key != PRIVATE}, folder / "config.json")


def _write_json(content: Mapping[str, object], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_index(plan: Plan, path: Path) -> None:
    text = {"text_encoder": ("transformers", "CLIPTextModel"), "tokenizer": ("transformers", "CLIPTokenizer")}
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "requires_safety_checker": False,
        **dict.fromkeys(ABSENT, (None, None)),
        "scheduler": ("diffusers", type(plan.schedules.scheduler).__name__),
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", plan.vae_class),
        **(text if plan.words else {}),
    }
    _write_json(index, path)
