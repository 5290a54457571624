"""The ear of the default bundle: a small Wav2Vec2-BERT with the reference's adapter, trained on words and sounds.

Assumes windows from `clavilux.training.lumia.models.augmented_windows`, a token table from
`clavilux.training.lumia.models.words`. While it learns, linear heads on the inner layers say at each frame which
concept they hear, pooled over time by log-sum-exp (multiple-instance learning): a word is first found where it ends,
and then told to every token. Another head spells the phonemes of what is said, by connectionist temporal classification
(Graves et al. 2006, section 3), so that words share what they have in common. Without them the loss rests at chance for
hundreds of steps. The heads are thrown away.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss, layer_norm, log_softmax
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.training.features import MEL_BINS, PADDED_FRAMES, STRIDE, stacked
from clavilux.training.lumia.data.phonemes import BLANK
from clavilux.training.lumia.models.augmented_windows import Batch, Windows
from clavilux.training.lumia.models.targets import alignment_loss, similarities
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

ADAPTER_LAYERS, ADAPTER_STRIDE = 2, 2  # as the reference
ROUND = 64  # windows encoded at once
SPELLING_LAYER = 3  # whose output the phonemes are read from
MIN_LENGTH = 4  # phonemes: costs are means over at least so many
SPELLING = 0.4  # weight of the phonemes beside the concepts


def build(width: int, tokens_width: int, layers: int = 4) -> Wav2Vec2BertModel:
    """Return the untrained encoder; attention is written out, because the exporter cannot trace the fused one."""
    return Wav2Vec2BertModel(
        Wav2Vec2BertConfig(
            hidden_size=width,
            output_hidden_size=tokens_width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=2 * width,
            feature_projection_input_dim=MEL_BINS * STRIDE,
            add_adapter=True,
            adapter_kernel_size=3,
            adapter_stride=ADAPTER_STRIDE,
            num_adapter_layers=ADAPTER_LAYERS,
            layerdrop=0.0,
            position_embeddings_type=None,
            hidden_dropout=0.0,
            conformer_conv_dropout=0.0,
            attention_dropout=0.0,
            feat_proj_dropout=0.0,
            apply_spec_augment=False,
            attn_implementation="eager",
        )
    )


def token_count() -> int:
    """Return how many tokens a window of the default bundle gives."""
    count = PADDED_FRAMES // STRIDE
    for _ in range(ADAPTER_LAYERS):
        count = (count - 1) // ADAPTER_STRIDE + 1
    return count


class Pupil(nn.Module):
    """The encoder with its heads for training."""

    def __init__(self, model: Wav2Vec2BertModel, table: Tensor, phonemes: int) -> None:
        """Take targets [K, N, D] and the number of phonemes, blank included."""
        super().__init__()
        self.model = model
        self.layers = range(2, model.config.num_hidden_layers + 1)
        width = model.config.hidden_size
        self.heads = nn.ModuleList(nn.Linear(width, len(table)) for _ in self.layers)
        self.spelling = nn.Linear(width, phonemes)
        self._spelled_at = min(SPELLING_LAYER, model.config.num_hidden_layers)
        self._table: Tensor
        self.register_buffer("_table", table, persistent=False)

    def loss(self, batch: Batch) -> Tensor:
        """Return alignment of the tokens plus mean cross-entropy of the heads plus what the phonemes cost."""
        with torch.autocast(batch.frames.device.type, torch.bfloat16):
            seen = self.model(self.inputs(batch.frames), output_hidden_states=True)
        tokens = seen.last_hidden_state.float()
        found = [self._found(head, seen.hidden_states[i]) for head, i in zip(self.heads, self.layers, strict=True)]
        spotting = torch.stack([cross_entropy(one, batch.labels) for one in found]).mean()
        aligned = alignment_loss(tokens, batch.labels, self._table[:, : tokens.shape[1]])
        return aligned + spotting + SPELLING * self._spelt(seen.hidden_states[self._spelled_at], batch)

    def inputs(self, frames: Tensor) -> Tensor:
        """Return what the encoder is given, [B, frames / 2, 160], of log-mel windows [B, frames, 80]."""
        return stacked(frames, frames.shape[1] + frames.shape[1] % STRIDE)

    def _found(self, head: nn.Module, hidden: Tensor) -> Tensor:
        """Return scores [B, K] of hidden states [B, frames, width]: the log of the mean exponential over frames."""
        scores: Tensor = head(layer_norm(hidden.float(), hidden.shape[-1:]))
        return scores.logsumexp(dim=1) - math.log(scores.shape[1])

    def _spelt(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Return the phonemes' mean cost over the windows that hold all that their phonemes say."""
        scores = log_softmax(self.spelling(layer_norm(hidden.float(), hidden.shape[-1:])), dim=-1)
        frames = torch.full((len(scores),), scores.shape[1], device=scores.device)
        costs = ctc_loss(
            scores.transpose(0, 1), batch.phonemes, frames, batch.lengths, BLANK, reduction="none", zero_infinity=True
        )
        return (costs / batch.lengths.clamp(min=MIN_LENGTH) * batch.whole).sum() / batch.whole.sum().clamp(min=1)


def fit(pupil: Pupil, data: Windows, recipe: Recipe, checkpoint: Path, *, batch: int = 32) -> None:
    """Train in place; the next batch is made while the present one is learnt from."""
    with ThreadPoolExecutor(1) as pool:
        waiting: dict[int, Future[Batch]] = {}

        def loss(step: int) -> Tensor:
            ready = waiting.pop(step, None) or pool.submit(data.batch, step, batch)
            waiting[step + 1] = pool.submit(data.batch, step + 1, batch)
            return pupil.loss(ready.result().on(device_of(pupil)))

        train(pupil, loss, recipe, checkpoint)


@torch.no_grad()
def heard(model: Wav2Vec2BertModel, windows: Tensor) -> Tensor:
    """Return tokens [n, N, D] float32 for mel windows [n, frames, 80], on the processor like these."""
    device = device_of(model)
    return torch.cat([model(stacked(part).to(device)).last_hidden_state.cpu() for part in torch.split(windows, ROUND)])


def heard_by_concept(model: Wav2Vec2BertModel, data: Windows, concepts: int, each: int) -> Tensor:
    """Return tokens [concepts, each, N, D] of fresh training windows, `each` of every label, idle included."""
    found: list[list[Tensor]] = [[] for _ in range(concepts)]
    step = 10_000_000  # far beyond the steps that were trained on
    while min(map(len, found)) < each:
        batch = data.batch(step, ROUND)
        for tokens, label in zip(heard(model, batch.frames), batch.labels.tolist(), strict=True):
            found[label].append(tokens)
        step += 1
    return torch.stack([torch.stack(tokens[:each]) for tokens in found])


def understood(heard: Tensor, table: Tensor) -> Tensor:
    """Return tokens [K, M, N, D] of which each is nearest to its own concept of the table [K, N, D].

    The others' places are taken by those, by turns; a concept that was never understood gets its tokens of the table.
    """
    rows = []
    for concept, tokens in enumerate(heard):
        right = tokens[similarities(tokens, table).argmax(dim=1) == concept]
        found = right if len(right) else table[concept, None]
        rows.append(found[torch.arange(len(tokens)) % len(found)])
    return torch.stack(rows)
