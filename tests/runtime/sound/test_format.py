"""The format of sound inside the instrument."""

import pytest

from clavilux.runtime.sound.format import frame_count


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (60_000, 373)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    assert frame_count(samples) == frames
