"""A frame as the Python client hands it over: its times, and its picture decoded when asked for."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clavilux.runtime.errors import ProtocolError
from clavilux.server.protocol.binary import PackedFrame
from clavilux.server.protocol.words import MICROSECONDS, ErrorCode, PictureEncoding


@dataclass(frozen=True)
class ReceivedFrame:
    """One frame from a stage. Times are server time, µs."""

    packed: PackedFrame  # as it travelled
    received_at: int
    stage_names: tuple[str, ...]  # from hello

    @property
    def sequence(self) -> int:
        """The engine's count of frames, modulo 2**32."""
        return self.packed.sequence

    @property
    def heard_until(self) -> int | None:
        """When the newest sound in this frame was captured; None before any sound."""
        return self.packed.heard_until or None

    @property
    def latency(self) -> float | None:
        """Seconds from the newest sound in this frame to its arrival here; None before any sound."""
        if self.heard_until is None:
            return None
        return (self.received_at - self.heard_until) / MICROSECONDS

    @property
    def stages(self) -> dict[str, float]:
        """Seconds each stage took, by name."""
        pairs: Iterable[tuple[str, int]] = zip(self.stage_names, self.packed.stages, strict=False)
        return {name: taken / MICROSECONDS for name, taken in pairs}

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The picture, uint8 RGB [height, width, 3]. Raises ProtocolError when it cannot be decoded."""
        width, height = self.packed.size
        try:
            pixels = self._decode()
        except OSError as error:
            line = f"frame {self.sequence} is no {self.packed.encoding} picture"
            raise ProtocolError(ErrorCode.BAD_MESSAGE, line) from error
        if pixels.size != height * width * 3:
            line = f"frame {self.sequence} is not {width} x {height} pixels, as it says"
            raise ProtocolError(ErrorCode.BAD_MESSAGE, line)
        return pixels.reshape(height, width, 3)

    def _decode(self) -> NDArray[np.uint8]:
        if self.packed.encoding == PictureEncoding.RGB:
            return np.frombuffer(self.packed.picture, np.uint8)
        with Image.open(io.BytesIO(self.packed.picture)) as image:
            return np.asarray(image.convert("RGB"))
