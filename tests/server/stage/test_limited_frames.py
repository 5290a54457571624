"""Viewers who do not limit flashes get frames that are limited once each, in order, for any thread."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from clavilux.runtime.frame import Frame
from clavilux.server.stage.limited_frames import KEPT, LimitedFrames
from tests.flashes import Strobe, most_flashes
from tests.server.fakes import make_frame

RATE = 30  # frames per second


def frames(strobe: Strobe) -> list[Frame]:
    """The engine's frames of a strobe."""
    return [
        replace(make_frame(i), pixels=picture, time=time)
        for i, (picture, time) in enumerate(zip(strobe, strobe.times, strict=True))
    ]


def test_a_strobe_is_limited() -> None:
    strobe = Strobe("black and white", 7.5, RATE)
    limited = LimitedFrames()
    shown = [limited.pixels(frame) for frame in frames(strobe)]
    assert most_flashes(list(strobe), strobe.times) > 3
    assert most_flashes(shown, strobe.times) <= 2


def test_what_does_not_flash_is_the_very_same_array() -> None:
    limited = LimitedFrames()
    for i in range(100):
        frame = replace(make_frame(i), time=i / RATE)
        assert limited.pixels(frame) is frame.pixels


def test_every_level_survives_a_strobe_beside_it() -> None:
    """Where one part is limited, the other is coded to linear light and back without loss."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (64, 256, 3))
    limited = LimitedFrames()
    for i in range(RATE):
        pixels = np.concatenate([np.full((64, 128, 3), 255 * (i // 2 % 2), np.uint8), ramp], axis=1)
        shown = limited.pixels(replace(make_frame(i), pixels=pixels, time=i / RATE))
    assert (shown[:, 128:] != 0).any()
    assert not np.array_equal(shown[:, :100], pixels[:, :100])
    np.testing.assert_array_equal(shown[:, 160:], pixels[:, 160:])


def test_a_frame_is_limited_once_however_many_want_it() -> None:
    strobe, limited = Strobe("black and white", 10, RATE), LimitedFrames()
    alone = LimitedFrames()
    with ThreadPoolExecutor(4) as pool:
        for frame in frames(strobe)[:60]:
            several = list(pool.map(limited.pixels, [frame] * 4))
            assert all(one is several[0] for one in several)
            np.testing.assert_array_equal(several[0], alone.pixels(frame))


def test_a_late_frame_does_not_go_back_in_time() -> None:
    limited = LimitedFrames()
    sent = [limited.pixels(replace(make_frame(i), time=i / RATE)) for i in range(KEPT + 5)]
    assert limited.pixels(make_frame(0)) is sent[-1]


def test_switched_off_everything_passes() -> None:
    limited = LimitedFrames()
    for frame in frames(Strobe("black and white", 10, RATE)):
        assert limited.pixels(frame, enabled=False) is frame.pixels


def test_a_change_of_size_lets_nothing_flash() -> None:
    """Black and white at 7.5 Hz, each of a size of its own."""
    limited, shown = LimitedFrames(), []
    for i in range(2 * RATE):
        lit = i // 2 % 2
        size = (72, 80, 3) if lit else (64, 64, 3)
        shown.append(limited.pixels(replace(make_frame(i), pixels=np.full(size, 255 * lit, np.uint8), time=i / RATE)))
        assert shown[-1].shape == size
    means = [float(one.mean()) for one in shown[RATE:]]
    assert max(means) - min(means) < 40
