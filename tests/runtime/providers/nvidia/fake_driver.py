"""NVIDIA's driver library as far as `clavilux.runtime.providers.nvidia.driver` asks it."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Driver:
    """NVIDIA's driver library, as ctypes would load it."""

    name: bytes = b"NVIDIA Test"
    capability: tuple[int, int] = (8, 9)
    cards: int = 1
    fails: int = 0  # CUDA error code
    cuda: int = 13000  # version that it is made for

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.fails

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.cards
        return 0

    def cuDeviceGetName(self, text: Any, length: int, device: int) -> int:  # noqa: N802
        text.value = self.name
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> int:  # noqa: N802
        value._obj.value = self.capability[attribute - 75]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self.cuda
        return 0
