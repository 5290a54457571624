"""Sets of scenes: what pictures are learnt from, painted, and encoded, in pieces that are each made once.

Every scene is a function of seed, size, number and variant (`clavilux.training.lumia.data.scenes`). Of all of them the
latents are kept, of the first ones' variant 0 the pictures too, which the autoencoder learns from.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from clavilux.runtime.files import written_whole
from clavilux.training.command_line import LOG
from clavilux.training.lumia.data.scenes import Emoji, Scene, drawn, paint, paint_behind
from clavilux.training.lumia.phases import NEVER, check_time

PIECE = 50  # scenes in a file: what an interruption loses at most
VARIANTS = 4  # of each scene that are learnt from: painting its light costs more than painting things in it
LIGHTS = 500_000  # number of the first light that stands alone
Cells = tuple[int, int]  # height and width of the latents
Encode = Callable[[Tensor], Tensor]  # uint8 pictures [n, 3, H, W] to latents [n, C, h, w]


@dataclass(frozen=True)
class SceneSet:
    """Scenes of one size: S of them, M pictures in the light of each, the last one of the light alone."""

    noise: Tensor  # [S, C, h, w]
    numbers: Tensor  # [S, 9] of the light
    concepts: Tensor  # [S, M] int64
    latents: Tensor  # [S, M, C, h, w], scaled


class Pictures:
    """Pictures of the first scenes of one size, on disk."""

    def __init__(self, pieces: Sequence[NDArray[np.uint8]]) -> None:
        """`pieces` are [PIECE, M, 3, H, W] each, the last one may be shorter."""
        self._pieces = pieces

    def __len__(self) -> int:
        return sum(len(piece) for piece in self._pieces)

    @property
    def slots(self) -> int:
        """How many pictures a scene has."""
        return int(self._pieces[0].shape[1])

    def at(self, scene: int, slot: int) -> Tensor:
        """Return one picture, uint8 [3, H, W]."""
        return torch.from_numpy(self._pieces[scene // PIECE][scene % PIECE, slot].copy())


@dataclass(frozen=True)
class Studio:
    """Where scenes are painted: by which seed, of which things, and where they are kept."""

    emojis: Sequence[Emoji]
    seed: int
    folder: Path
    deadline: float = NEVER  # s since the epoch: no piece is begun after it

    def painted(self, index: int, cells: Cells, variant: int = 0) -> Tensor:
        """Return the pictures of one scene, uint8 [M, 3, H, W]."""
        scene = drawn(self.seed, index, cells, len(self.emojis), variant)
        things = [self.emojis[i] if i < len(self.emojis) else None for i in scene.concepts]
        behind = _behind(self.seed, index, cells, len(self.emojis))
        return (paint(things, scene.noise, scene.numbers, behind) * 255).round().byte()

    def drawn(self, cells: Cells, count: int) -> list[Scene]:
        """Return what the first `count` scenes are painted from."""
        return [drawn(self.seed, index, cells, len(self.emojis)) for index in range(count)]

    def pictures(self, cells: Cells, count: int) -> Pictures:
        """Return the pictures of the first `count` scenes; what is on disk is not painted again."""
        pieces = []
        for path, indices in self._files("pictures", cells, count, ".npy"):
            if not path.exists():
                check_time(self.deadline, path.name)
                found = torch.stack([self.painted(index, cells) for index in indices]).numpy()
                with written_whole(path) as part, part.open("wb") as file:
                    np.save(file, found)
                LOG.info("%s: painted", path.name)
            pieces.append(np.load(path, mmap_mode="r"))
        return Pictures(pieces)

    def scenes(self, cells: Cells, count: int, encode: Encode) -> SceneSet:
        """Return the first `count` scenes with their latents, then their other variants, by turns.

        What is on disk is not encoded again.
        """
        pieces: tuple[list[dict[str, Tensor]], ...] = ([], [])
        for path, indices in self._files("latents", cells, count, ".safetensors"):
            others = path.with_name(path.name.replace("latents", "latents-others"))
            for kept, file, variants in zip(pieces, (path, others), (range(1), range(1, VARIANTS)), strict=True):
                if not file.exists():
                    check_time(self.deadline, file.name)
                    with written_whole(file) as part:
                        save_file(self._encoded([(i, v) for i in indices for v in variants], cells, encode), part)
                    LOG.info("%s: encoded", file.name)
                kept.append(load_file(file))
        joined = {one.name: torch.cat([piece[one.name] for piece in chain(*pieces)]) for one in fields(SceneSet)}
        return SceneSet(**{**joined, "latents": joined["latents"].float()})

    def lights(self, cells: Cells, count: int, encode: Encode) -> SceneSet:
        """Return `count` more scenes, of light alone: each shows it twice. What is on disk is not encoded again."""
        pieces = []
        for path, indices in self._files("lights", cells, count, ".safetensors"):
            if not path.exists():
                check_time(self.deadline, path.name)
                with written_whole(path) as part:
                    save_file(self._alone(indices, cells, encode), part)
                LOG.info("%s: encoded", path.name)
            pieces.append(load_file(path))
        joined = {one: torch.cat([piece[one] for piece in pieces]) for one in ("noise", "numbers", "latents")}
        latents = joined.pop("latents").float()[:, None].expand(-1, 2, -1, -1, -1)
        return SceneSet(**joined, concepts=torch.full((len(latents), 2), len(self.emojis)), latents=latents)

    def _alone(self, indices: range, cells: Cells, encode: Encode) -> dict[str, Tensor]:
        """Return lights by number, as they are on disk."""
        scenes = [drawn(self.seed, LIGHTS + index, cells, 1) for index in indices]
        shown = ((paint([None], scene.noise, scene.numbers) * 255).round().byte() for scene in scenes)
        return {
            "noise": torch.stack([scene.noise for scene in scenes]),
            "numbers": torch.stack([scene.numbers for scene in scenes]),
            "latents": torch.cat([encode(one) for one in shown]).half(),
        }

    def _files(self, what: str, cells: Cells, count: int, ending: str) -> Iterator[tuple[Path, range]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, count, PIECE):
            end = min(start + PIECE, count)
            yield self.folder / f"{what}-{cells[0]}x{cells[1]}-{start:06}-{end:06}{ending}", range(start, end)

    def _encoded(self, which: Sequence[tuple[int, int]], cells: Cells, encode: Encode) -> dict[str, Tensor]:
        """Return scenes by number and variant, as they are on disk."""
        scenes = [drawn(self.seed, index, cells, len(self.emojis), variant) for index, variant in which]
        return {
            "noise": torch.stack([scene.noise for scene in scenes]),
            "numbers": torch.stack([scene.numbers for scene in scenes]),
            "concepts": torch.tensor([scene.concepts for scene in scenes]),
            "latents": torch.stack([encode(self._shown(*one, cells)) for one in which]).half(),
        }

    def _shown(self, index: int, variant: int, cells: Cells) -> Tensor:
        """Return the pictures of one scene, from disk where they are there."""
        if variant:
            return self.painted(index, cells, variant)
        start = index - index % PIECE
        for path in self.folder.glob(f"pictures-{cells[0]}x{cells[1]}-{start:06}-*.npy"):
            piece = np.load(path, mmap_mode="r")
            if index - start < len(piece):
                return torch.from_numpy(piece[index - start].copy())
        return self.painted(index, cells)


@lru_cache(maxsize=PIECE)
def _behind(seed: int, index: int, cells: Cells, concepts: int) -> Tensor:
    """Return the light of a scene, which is that of all its variants."""
    scene = drawn(seed, index, cells, concepts)
    return paint_behind(scene.noise, scene.numbers)
