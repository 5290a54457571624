"""The parts of a Stable Diffusion pipeline as plain graphs, declared as `optimum-cli export onnx` writes them.

Nothing of Clavilux is inside: the UNet predicts, the autoencoder neither scales nor rounds. Names and axes are those
of optimum-onnx 0.1 (`exporters/onnx/model_configs.py`); its pipelines compute the shapes of outputs from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clavilux.export.graphs.convert import Case
from clavilux.export.models.denoiser import downscaling, noise
from clavilux.export.models.text_encoder import CLIP_POSITIONS, example_ids, text_tokens
from clavilux.export.parts import Parts
from clavilux.export.spec import COLOURS, DENOISER_GRAPH, Axis, Component, Port

Inputs = Mapping[str, NDArray[np.generic]]

BATCH, LENGTH = "batch_size", "sequence_length"
SIDES = ("height", "width")
MAX_ROWS = 64
MAX_PROMPT = 4096  # tokens
MAX_SIDE = 8192  # pixels


@dataclass(frozen=True)
class PlainGraph:
    """One graph, and what it is proved on."""

    component: Component
    module: nn.Module
    inputs: Sequence[Inputs]  # the first one with size 2 or more on every open axis, to trace on
    config: str  # JSON

    def cases(self) -> list[Case]:
        """Return the inputs with what torch makes of them."""
        return [Case(inputs, _outputs(self.module, inputs)) for inputs in self.inputs]


def _outputs(module: nn.Module, inputs: Inputs) -> list[NDArray[np.generic]]:
    with torch.inference_mode():
        found = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return [one.numpy() for one in (found if isinstance(found, tuple) else (found,))]


class _Around(nn.Module):
    """A module around a model, whose graph has other names or fewer outputs than the model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model


class UnetGraph(_Around):
    """sample float32 [B, C, h, w], timestep float32 [], encoder_hidden_states float32 [B, L, D] -> out_sample."""

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        """Predict."""
        output: Tensor = self.model(sample, timestep, encoder_hidden_states, return_dict=False)[0]
        return output


class VaeDecoderGraph(_Around):
    """latent_sample float32 [B, C, h, w], divided by the scaling factor -> sample float32 [B, 3, H, W], -1 to 1."""

    def forward(self, latent_sample: Tensor) -> Tensor:
        """Decode."""
        decoded: Tensor = self.model.decode(latent_sample, return_dict=False)[0]
        return decoded


class VaeEncoderGraph(_Around):
    """sample float32 [B, 3, H, W], -1 to 1 -> means and log variances float32 [B, 2C, h, w], or TAESD's latents."""

    def forward(self, sample: Tensor) -> Tensor:
        """Encode."""
        encoded = self.model.encode(sample)
        found: Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.parameters
        return found


class TextGraph(_Around):
    """input_ids int64 [B, L] -> last_hidden_state float32 [B, L, D], pooler_output float32 [B, D]."""

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Encode."""
        found = self.model(input_ids=input_ids)
        return found.last_hidden_state, found.pooler_output


def unet_part(parts: Parts) -> PlainGraph:
    """Return the UNet: sides in steps of what it halves, proved at both ends of the schedule."""
    plan, unet = parts.plan, parts.unet()
    multiple = downscaling(unet.config)
    sample = Port("sample", (BATCH, "channels", *SIDES))
    component = _component(
        "unet",
        (sample, Port("timestep", ()), Port("encoder_hidden_states", (BATCH, LENGTH, "prompt_width"))),
        (Port("out_sample", sample.axes),),
        (Axis(LENGTH, 1, MAX_PROMPT), *_sides(SIDES, MAX_SIDE // plan.vae_factor, multiple)),
    )
    usual = [max(2, side // multiple) * multiple for side in (plan.latents.height, plan.latents.width)]
    timesteps = plan.schedule.timesteps[max(plan.schedule.timesteps)]
    inputs = [
        {
            "sample": noise((rows, plan.latents.channels, height, width), 0).numpy(),
            "timestep": np.array(time, np.float32),
            "encoder_hidden_states": noise((rows, tokens, plan.width), 1).numpy(),
        }
        for rows, (height, width), tokens, time in (
            (2, (2 * multiple, 3 * multiple), CLIP_POSITIONS, timesteps[-1]),
            (1, usual, plan.count, timesteps[0]),
        )
    ]
    return PlainGraph(component, UnetGraph(unet), inputs, unet.to_json_string())


def decoder_part(parts: Parts) -> PlainGraph:
    """Return the autoencoder's decoder."""
    plan, vae, factor = parts.plan, parts.vae(), parts.plan.vae_factor
    sides = ("latent_height", "latent_width")
    component = _component(
        "vae_decoder",
        (Port("latent_sample", (BATCH, "channels", *sides)),),
        (Port("sample", (BATCH, COLOURS, *(f"{side} * {factor}" for side in sides))),),
        _sides(sides, MAX_SIDE // factor),
    )
    shapes = ((2, 4, 6), (1, plan.latents.height, plan.latents.width))
    inputs = [{"latent_sample": noise((rows, plan.latents.channels, *size), 2).numpy()} for rows, *size in shapes]
    return PlainGraph(component, VaeDecoderGraph(vae), inputs, vae.to_json_string())


def encoder_part(parts: Parts) -> PlainGraph:
    """Return the autoencoder's encoder; optimum's pipelines know by the output's name what it gives."""
    plan, vae, factor = parts.plan, parts.vae(), parts.plan.vae_factor
    sides = ("sample_height", "sample_width")
    output = "latent_sample" if plan.vae_class == "AutoencoderTiny" else "latent_parameters"
    component = _component(
        "vae_encoder",
        (Port("sample", (BATCH, COLOURS, *sides)),),
        (Port(output, (BATCH, "parameters", *(f"{side} / {factor}" for side in sides))),),
        _sides(sides, MAX_SIDE, factor),
    )
    shapes = ((2, COLOURS, 4 * factor, 6 * factor), (1, COLOURS, *plan.picture))
    inputs = [{"sample": noise(shape, 3).clamp(-1, 1).numpy()} for shape in shapes]
    return PlainGraph(component, VaeEncoderGraph(vae), inputs, vae.to_json_string())


def text_part(parts: Parts) -> PlainGraph:
    """Return the text encoder."""
    plan, encoder = parts.plan, parts.text_encoder()
    tokens = plan.text or text_tokens(encoder.config.to_dict())
    longest = encoder.config.max_position_embeddings
    component = _component(
        "text_encoder",
        (Port("input_ids", (BATCH, LENGTH), "int64"),),
        (Port("last_hidden_state", (BATCH, LENGTH, "prompt_width")), Port("pooler_output", (BATCH, "prompt_width"))),
        (Axis(LENGTH, 1, longest),),
    )
    whole, usual = (example_ids(tokens, length).numpy() for length in (longest, plan.count))
    inputs = [{"input_ids": np.concatenate([whole, whole[:, ::-1]])}, {"input_ids": usual}]
    return PlainGraph(component, TextGraph(encoder), inputs, encoder.config.to_json_string(use_diff=False))


def _component(name: str, inputs: tuple[Port, ...], outputs: tuple[Port, ...], sides: tuple[Axis, ...]) -> Component:
    return Component(
        name=f"diffusers {name}",
        file=f"{name}/model.onnx",
        inputs=inputs,
        outputs=outputs,
        exact=DENOISER_GRAPH.exact,
        stored=(),  # what is compared with torch is the file itself
        open_axes=(Axis(BATCH, 1, MAX_ROWS), *sides),
    )


def _sides(names: tuple[str, str], most: int, multiple: int = 1) -> tuple[Axis, ...]:
    return tuple(Axis(name, 1, most // multiple, multiple) for name in names)
