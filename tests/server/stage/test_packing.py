"""Packing: a frame and its picture as they travel."""

from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.protocol.words import WIRE_STAGES
from clavilux.server.stage.compression import CompressedPicture
from clavilux.server.stage.packing import pack
from tests.server.fakes import NOW, make_frame

US = 1_000_000


def test_a_packed_frame_carries_its_times_and_stages() -> None:
    frame = make_frame(2**32 + 5, heard_until=99.5)
    packed = pack(frame, CompressedPicture(b"body", 0.004), PictureFormat("webp"), NOW + 0.25)
    assert (packed.sequence, packed.encoding, packed.picture) == (5, "webp", b"body")
    assert packed.size == (6, 4)
    assert (packed.heard_until, packed.made_at, packed.sent_at) == (99_500_000, 100 * US, 100_250_000)
    assert dict(zip(WIRE_STAGES, packed.stages, strict=True)) == dict.fromkeys(WIRE_STAGES, 1000) | {"compress": 4000}


def test_a_frame_that_heard_nothing_says_zero() -> None:
    assert pack(make_frame(), CompressedPicture(b"body", 0.0), PictureFormat(), NOW).heard_until == 0
