"""A graph that runs in torch, where the runtime expects a loaded one."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class TorchSession:
    """`clavilux.runtime.providers.session.Session` over a module, without any export."""

    provider = "torch"

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        with torch.inference_mode():
            outputs = self.module(**{name: torch.from_numpy(np.array(array)) for name, array in inputs.items()})
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
