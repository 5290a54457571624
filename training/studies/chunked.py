"""Chunked attention: an encoder that hears a stream, each frame once, in place of a window again and again.

A frame of chunk c attends to the chunks c - left to c and to nothing later: dynamic chunk training's mask (Zhang et al.
2021, U2, arXiv:2012.05481), with keys and values of the left context kept (Shi et al. 2021, Emformer,
arXiv:2010.10759). Wav2Vec2-BERT's depthwise convolution is causal as published, so its last inputs are all it needs.

Two ways to the same hidden states: `attending` masks the class's own forward, for training and measuring;
`StreamingEncoder` takes one chunk and caches, and can be exported. The adapter is cheap, and looks at the whole window
of kept hidden states at each hop, forwards too.

A window's mean and variance change with every hop, and frames that were normalised by older ones are not computed
again. So a stream is normalised as it goes: each chunk by the statistics of the window that ends with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import Wav2Vec2BertModel

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.features import MEL_BINS, STRIDE, VARIANCE_FLOOR

POSITIONS = (None, "relative_key")  # kinds of position embeddings that depend on the distance alone
FRAME_SECONDS = 0.02  # of one stacked frame


@dataclass(frozen=True)
class Chunks:
    """How far a frame of the encoder sees. Raises ClaviluxError for less than one frame or no chunk of its own."""

    size: int  # stacked frames of 20 ms in a chunk: what one hop brings
    left: int  # earlier chunks that are seen

    def __post_init__(self) -> None:
        if self.size < 1 or self.left < 0:
            raise ClaviluxError(f"chunks are {self.size} frames behind {self.left} others; expected at least 1 and 0")

    @property
    def context(self) -> int:
        """Return how many earlier frames' keys and values are kept."""
        return self.size * self.left

    def visible(self, frames: int) -> Tensor:
        """Return who sees whom, bool [frames, frames], seeing by seen; chunks are counted from the end, where the
        newest is always whole.
        """
        chunk = -((frames - 1 - torch.arange(frames)) // self.size)
        gap = chunk[:, None] - chunk[None, :]
        return (gap >= 0) & (gap <= self.left)


@contextmanager
def attending(model: Wav2Vec2BertModel, chunks: Chunks) -> Iterator[None]:
    """Let the model's own forward attend by chunks while the context lasts, in training and after; the adapter's
    attention stays whole.

    Each layer is handed the mask [1, 1, frames, frames] that it adds to its scores. (The model's own `attention_mask`
    marks padding, frame by frame, and cannot say it.) Raises ClaviluxError, in forward, when such padding is marked.
    """

    def masked(layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if named.get("conv_attention_mask") is not None:
            raise ClaviluxError("an attention mask for padding is passed; expected windows without padding")
        return arguments, named | {"attention_mask": _hiding(chunks.visible(arguments[0].shape[1]), arguments[0])}

    hooks = [layer.register_forward_pre_hook(masked, with_kwargs=True) for layer in model.encoder.layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hiding(visible: Tensor, like: Tensor) -> Tensor:
    """Return what is added to attention's scores, [1, 1, seeing, seen]: 0 where it is seen, else the least number."""
    zeros = torch.zeros(visible.shape, dtype=like.dtype, device=like.device)
    return zeros.masked_fill(~visible.to(like.device), torch.finfo(like.dtype).min)[None, None]


def running(frames: Tensor, window: int, step: int) -> Tensor:
    """Return the frames as a stream normalises them, float32 [B, n * step, bins], of log-mel [B, T, bins].

    Every `step` frames, counted from the end, get the mean and variance (with n - 1) of the `window` frames that end
    with them; the first `window` - `step` frames or more are only there for that. Raises ClaviluxError for too few.
    """
    if frames.shape[1] < window or step > window:
        raise ClaviluxError(f"{frames.shape[1]} frames are given; expected a window of {window} with steps within")
    spare = (frames.shape[1] - window) % step
    windows = frames[:, spare:].unfold(1, window, step).transpose(2, 3)  # [B, n, window, bins]
    return _newest(windows, step).flatten(1, 2)


def _newest(windows: Tensor, step: int) -> Tensor:
    """Return the last frames, [..., step, bins], of windows [..., T, bins], normalised by all frames of the window.

    Centred twice, as in the bundle's graph, so that the rounding of a mean does not look like movement in silence.
    """
    centred = windows - windows.mean(dim=-2, keepdim=True)
    centred = centred - centred.mean(dim=-2, keepdim=True)
    variance = centred.square().sum(dim=-2, keepdim=True) / (windows.shape[-2] - 1)
    return centred[..., windows.shape[-2] - step :, :] / torch.sqrt(variance + VARIANCE_FLOOR)


@torch.no_grad()
def streamed(model: Wav2Vec2BertModel, frames: Tensor, chunks: Chunks, *, kept: int, window: int) -> Tensor:
    """Return the tokens, float32 [B, N, D], that a stream has given when it has heard log-mel frames [B, T, bins].

    `kept` is the window in stacked frames, `window` the frames that a chunk is normalised by. What StreamingEncoder
    gives step by step is computed at once here, by the masked forward.
    """
    clean = running(frames, window, chunks.size * STRIDE)
    with attending(model, chunks):
        projected, _ = model.feature_projection(clean.reshape(len(clean), -1, MEL_BINS * STRIDE))
        hidden = model.encoder(projected).last_hidden_state
    return _tokens(model, hidden[:, -kept:])


def _tokens(model: Wav2Vec2BertModel, hidden: Tensor) -> Tensor:
    """Return what follows the encoder's layers: tokens [B, N, D] of hidden states [B, frames, width]."""
    if model.intermediate_ffn is not None:
        hidden = hidden + 0.5 * model.intermediate_ffn(hidden)
    tokens: Tensor = hidden if model.adapter is None else model.adapter(hidden)
    return tokens


@dataclass(frozen=True)
class Caches:
    """Memory of a stream from hop to hop; the names are those of the exported graph's inputs."""

    keys: Tensor  # [layers, B, heads, context, head width]
    values: Tensor  # as keys
    convolved: Tensor  # [layers, B, width, kernel - 1]: the last inputs of the depthwise convolutions
    hidden: Tensor  # [B, kept, width]: what the adapter looks at
    heard: Tensor  # [B] int64: frames since the stream began; keys from before are not seen

    def named(self) -> dict[str, Tensor]:
        """Return the tensors by name, in the order in which StreamingEncoder takes and gives them."""
        return dict(vars(self))


class StreamingEncoder(nn.Module):
    """One hop: the newest frames through every layer, the adapter over the window. For inference: nothing is dropped.

    Features, float32 [B, T, 80], raw log-mel of the window that ends now, T >= 2 * chunk; then the caches -> tokens,
    float32 [B, N, D], and the caches for the next hop. The tokens are those of a window when `kept` frames were heard:
    begin with as much silence.
    """

    def __init__(self, encoder: Wav2Vec2BertModel, chunks: Chunks, kept: int) -> None:
        """Take the trained encoder and `kept`, the window in stacked frames.

        Raises ClaviluxError when the encoder's positions are absolute, so that no key could be kept.
        """
        super().__init__()
        kind = encoder.config.position_embeddings_type
        if kind not in POSITIONS:
            raise ClaviluxError(f"the encoder's position embeddings are {kind!r}; expected one of {POSITIONS}")
        self.encoder, self.chunks, self.kept = encoder, chunks, kept

    def begin(self, batch: int = 1) -> Caches:
        """Return the caches of streams that have heard nothing."""
        config, past = self.encoder.config, self.chunks.context
        head = config.hidden_size // config.num_attention_heads
        keys = torch.zeros(config.num_hidden_layers, batch, config.num_attention_heads, past, head)
        kernel = config.conv_depthwise_kernel_size
        convolved = torch.zeros(config.num_hidden_layers, batch, config.hidden_size, kernel - 1)
        hidden = torch.zeros(batch, self.kept, config.hidden_size)
        return Caches(keys, keys.clone(), convolved, hidden, torch.zeros(batch, dtype=torch.int64))

    def forward(
        self, features: Tensor, keys: Tensor, values: Tensor, convolved: Tensor, hidden: Tensor, heard: Tensor
    ) -> tuple[Tensor, ...]:
        """Hear one chunk; return tokens, keys, values, convolved, hidden, heard."""
        newest = _newest(features, self.chunks.size * STRIDE)
        stacked = newest.reshape(len(features), self.chunks.size, STRIDE * MEL_BINS)
        new, _ = self.encoder.feature_projection(stacked)
        unheard = torch.arange(self.chunks.context, device=heard.device) < self.chunks.context - heard[:, None]
        mask = _hiding(~pad(unheard, (0, self.chunks.size)), new)[0].transpose(0, 1)[:, :, None]  # [B, 1, 1, seen]
        kept = []
        for layer, *past in zip(self.encoder.encoder.layers, keys, values, convolved, strict=True):
            new, *caches = _layer(layer, new, mask, *past)
            kept.append(caches)
        hidden = torch.cat([hidden, new], dim=1)[:, self.chunks.size :]
        stacks = (torch.stack(part) for part in zip(*kept, strict=True))
        return _tokens(self.encoder, hidden), *stacks, hidden, heard + self.chunks.size


def _layer(layer: Any, hidden: Tensor, mask: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
    """Return the layer's output [B, size, width] and its next keys, values and convolution's inputs.

    As Wav2Vec2BertEncoderLayer.forward: half a feed-forward, attention, convolution, half a feed-forward.
    """
    keys, values, convolved = past
    hidden = hidden + 0.5 * layer.ffn1(layer.ffn1_layer_norm(hidden))
    attended, keys, values = _attend(layer.self_attn, layer.self_attn_layer_norm(hidden), mask, keys, values)
    hidden = hidden + attended
    added, convolved = _convolve(layer.conv_module, hidden, convolved)
    hidden = hidden + added
    hidden = hidden + 0.5 * layer.ffn2(layer.ffn2_layer_norm(hidden))
    return layer.final_layer_norm(hidden), keys, values, convolved


def _attend(attention: Any, hidden: Tensor, mask: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    """Return what the newest frames [B, size, width] take from kept and new ones, and the next keys and values."""
    size = hidden.shape[1]
    query, new_keys, new_values = (
        one(hidden).reshape(*hidden.shape[:2], -1, attention.head_size).transpose(1, 2)
        for one in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    keys, values = torch.cat([keys, new_keys], dim=2), torch.cat([values, new_values], dim=2)
    scores = query @ keys.transpose(2, 3)
    if attention.position_embeddings_type == "relative_key":
        scores = scores + torch.einsum("bhqd,qkd->bhqk", query, _distances(attention, size, keys.shape[2]))
    taken = torch.softmax(scores * attention.head_size**-0.5 + mask, dim=-1) @ values
    return attention.linear_out(taken.transpose(1, 2).flatten(2)), keys[:, :, size:], values[:, :, size:]


def _distances(attention: Any, size: int, seen: int) -> Tensor:
    """Return the embeddings [size, seen, head width] of each key's distance from each of the newest `size` queries.

    Only the distance counts (Shaw et al. 2018, arXiv:1803.02155, section 3.2, keys only), clamped as in training.
    """
    keys = torch.arange(seen, device=attention.distance_embedding.weight.device)
    queries = keys[seen - size :]
    left, right = attention.left_max_position_embeddings, attention.right_max_position_embeddings
    embeddings: Tensor = attention.distance_embedding((keys[None] - queries[:, None]).clamp(-left, right) + left)
    return embeddings


def _convolve(module: Any, hidden: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """Return the convolution's output [B, size, width] for the newest frames, and its next inputs.

    As Wav2Vec2BertConvolutionModule.forward, which pads zeros before the first frame where the past stands here.
    """
    inputs = module.glu(module.pointwise_conv1(module.layer_norm(hidden).transpose(1, 2)))
    inputs = torch.cat([past, inputs], dim=2)
    mixed = module.depthwise_layer_norm(module.depthwise_conv(inputs).transpose(1, 2))
    added = module.pointwise_conv2(module.activation(mixed).transpose(1, 2)).transpose(1, 2)
    return added, inputs[:, :, hidden.shape[1] :]
