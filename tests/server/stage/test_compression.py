"""Compression: what is compressed decodes to the same picture, once for everyone, off the event loop."""

import asyncio
import io
import threading

import numpy as np
import pytest
from PIL import Image

from clavilux.runtime.frame import Frame
from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.protocol.words import PictureEncoding
from clavilux.server.stage import compression as module
from clavilux.server.stage.compression import KEPT_PICTURES, Compressor, compress, served
from tests.server.fakes import make_frame

pytestmark = pytest.mark.anyio


def gradient() -> np.ndarray:
    """A smooth picture, which lossy compression keeps within a few levels."""
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    return np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 90, np.uint8)], -1)


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_a_compressed_picture_decodes_to_nearly_the_same(encoding: str) -> None:
    body = compress(gradient(), PictureFormat(encoding, 95))
    with Image.open(io.BytesIO(body)) as image:
        assert image.format == encoding.upper()
        difference = np.abs(np.asarray(image, np.int16) - gradient())
    assert difference.mean() < 3


def test_rgb_is_the_pixels_row_by_row() -> None:
    assert compress(gradient(), PictureFormat("rgb")) == gradient().tobytes()


@pytest.mark.parametrize(
    ("wanted", "made"), [(1, 30), (45, 30), (46, 60), (85, 85), (87, 85), (88, 90), (90, 90), (93, 95), (100, 95)]
)
@pytest.mark.parametrize("encoding", list(PictureEncoding))
def test_a_picture_is_made_in_the_nearest_of_few_qualities(encoding: PictureEncoding, wanted: int, made: int) -> None:
    assert served(PictureFormat(encoding, wanted)) == PictureFormat(encoding, made)


def test_all_layouts_of_two_frames_are_kept() -> None:
    layouts = {served(PictureFormat(encoding, quality)) for encoding in PictureEncoding for quality in range(1, 101)}
    compressed = [layout for layout in layouts if layout.encoding != PictureEncoding.RGB]
    assert 2 * 2 * (len(compressed) + 1) <= KEPT_PICTURES  # two frames, with flashes limited and not


def test_less_quality_takes_fewer_bytes() -> None:
    assert len(compress(gradient(), PictureFormat("jpeg", 10))) < len(compress(gradient(), PictureFormat("jpeg", 95)))


async def test_many_viewers_share_one_compression() -> None:
    compressor, frame = Compressor(), make_frame()
    given = await asyncio.gather(*(compressor.get(frame, PictureFormat()) for _ in range(10)))
    assert compressor.made == 1
    assert all(picture is given[0] for picture in given)
    await compressor.close()


async def test_another_frame_encoding_or_quality_is_compressed_anew() -> None:
    compressor = Compressor()
    for layout in (PictureFormat(), PictureFormat("jpeg", 20), PictureFormat("webp")):
        await compressor.get(make_frame(0), layout)
    await compressor.get(make_frame(1), PictureFormat())
    assert compressor.made == 4
    await compressor.close()


async def test_rgb_has_no_quality_to_tell_apart() -> None:
    compressor, frame = Compressor(), make_frame()
    await compressor.get(frame, PictureFormat("rgb", 10))
    await compressor.get(frame, PictureFormat("rgb", 90))
    assert compressor.made == 1
    await compressor.close()


async def test_compression_happens_on_another_thread_and_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def spy(pixels: np.ndarray, layout: PictureFormat) -> bytes:
        threads.append(threading.current_thread())
        return b"x"

    monkeypatch.setattr(module, "compress", spy)
    compressor = Compressor()
    picture = await compressor.get(make_frame(), PictureFormat())
    assert threads[0] is not threading.current_thread()
    assert picture.seconds >= 0
    await compressor.close()


async def test_a_viewer_that_leaves_does_not_cancel_the_picture_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed = threading.Event()
    monkeypatch.setattr(module, "compress", lambda pixels, layout: b"x" if allowed.wait(10) else b"")
    compressor, frame = Compressor(), make_frame()
    leaving = asyncio.create_task(compressor.get(frame, PictureFormat()))
    staying = asyncio.create_task(compressor.get(frame, PictureFormat()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    allowed.set()
    assert (await staying).body == b"x"
    await compressor.close()


async def test_only_the_last_pictures_are_remembered() -> None:
    compressor = Compressor()
    frames: list[Frame] = [make_frame(number) for number in range(KEPT_PICTURES + 1)]
    for frame in frames:
        await compressor.get(frame, PictureFormat())
    await compressor.get(frames[-1], PictureFormat())
    assert compressor.made == len(frames)
    await compressor.get(frames[0], PictureFormat())
    assert compressor.made == len(frames) + 1
    await compressor.close()


async def test_a_failure_reaches_all_who_wait_for_the_picture_and_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed = threading.Event()

    def fail(pixels: np.ndarray, layout: PictureFormat) -> bytes:
        allowed.wait(10)
        raise OSError("cannot write this")

    compressor, frame = Compressor(), make_frame()
    with monkeypatch.context() as patched:
        patched.setattr(module, "compress", fail)
        both = asyncio.gather(*(compressor.get(frame, PictureFormat()) for _ in range(2)), return_exceptions=True)
        await asyncio.sleep(0)
        allowed.set()
        assert [str(error) for error in await both] == ["cannot write this"] * 2
    assert (await compressor.get(frame, PictureFormat())).body
    await compressor.close()


async def test_a_failure_that_nobody_waits_for_any_more_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a warning that its error was never looked at, which would fail this test."""
    allowed = threading.Event()

    def fail(pixels: np.ndarray, layout: PictureFormat) -> bytes:
        allowed.wait(10)
        raise OSError("cannot write this")

    monkeypatch.setattr(module, "compress", fail)
    compressor = Compressor()
    leaving = asyncio.create_task(compressor.get(make_frame(), PictureFormat()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    allowed.set()
    await compressor.close()
    assert not compressor._kept
