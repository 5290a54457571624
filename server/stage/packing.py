"""Packs frames for the wire: an engine's frame and its compressed picture to one PackedFrame. Pure."""

from clavilux.runtime.frame import Frame
from clavilux.server.protocol.binary import PackedFrame
from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.protocol.words import MAX_SEQUENCE, MICROSECONDS, WIRE_STAGES, WireStage
from clavilux.server.stage.compression import CompressedPicture
from clavilux.server.stage.wire_time import server_time


def pack(frame: Frame, picture: CompressedPicture, layout: PictureFormat, now: float) -> PackedFrame:
    """Return `frame` ready for the wire, stamped as sent `now`, seconds of the engine's clock."""
    times = {**frame.stages, WireStage.COMPRESS: picture.seconds}
    height, width = frame.pixels.shape[:2]
    return PackedFrame(
        sequence=frame.sequence % (MAX_SEQUENCE + 1),
        encoding=layout.encoding,
        size=(width, height),
        heard_until=0 if frame.heard_until is None else server_time(frame.heard_until),
        made_at=server_time(frame.time),
        sent_at=server_time(now),
        stages=tuple(round(times.get(name, 0.0) * MICROSECONDS) for name in WIRE_STAGES),
        picture=picture.body,
    )
