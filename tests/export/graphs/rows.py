"""A small module to trace, and the component that declares it."""

import numpy as np
import torch
from torch import Tensor, nn

from clavilux.export.graphs.convert import Case
from clavilux.export.spec import Axis, Component, Gate, Port

ROWS = Component(
    name="rows",
    file="rows.onnx",
    inputs=(Port("rows", ("batch", "length", 64)),),
    outputs=(Port("sums", ("batch", "length", 32)),),
    exact=(Gate("max_abs_error", 1e-3),),
    stored=(Gate("relative_l2", 0.01),),
    open_axes=(Axis("length", 2, 10),),
)


class Rows(nn.Module):
    """A linear map, with one weight to store in float16 and one bias to leave."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 32)

    def forward(self, rows: Tensor) -> Tensor:
        return self.linear(rows)


def rows(length: int = 5) -> np.ndarray:
    return np.random.default_rng(length).standard_normal((1, length, 64)).astype(np.float32)


def case(module: Rows, length: int = 5) -> Case:
    return Case({"rows": rows(length)}, [module(torch.from_numpy(rows(length))).numpy()])
