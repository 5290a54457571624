"""Watches a running stage: the number of each picture, what is heard, and how long ago that sounded.

    clavilux serve                                                             # in one terminal, and in another:
    python examples/watch.py
    python examples/watch.py wss://stage.example/ws --pictures 100 --save last.png

A server that wants a token is shown the one in CLAVILUX_TOKEN. Ctrl-C ends; the last picture is saved then, too. This
one ends with the connection, for it also shows the server's statuses: `async for frame in connect(url)` reconnects.
"""

import argparse
import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from clavilux import connect
from clavilux.runtime.errors import ClaviluxError

if TYPE_CHECKING:
    from clavilux.server.client.frame import ReceivedFrame
    from clavilux.server.client.stage import ClientStage

URL = "ws://127.0.0.1:7860/ws"
MS_PER_S = 1000


async def watch(url: str, pictures: int | None, save: Path | None) -> None:
    """Print a line for each picture, `pictures` of them or without end; keep the last one as `save`."""
    frame: ReceivedFrame | None = None
    try:
        async with connect(url, token=os.environ.get("CLAVILUX_TOKEN")) as stage:
            left = pictures
            async for frame in stage:  # the newest; who is slow skips some
                print(line(frame, stage), flush=True)
                left = None if left is None else left - 1
                if left == 0:
                    break
    finally:
        if save is not None and frame is not None:
            Image.fromarray(frame.pixels).save(save)


def line(frame: "ReceivedFrame", stage: "ClientStage") -> str:
    """Return what there is to say of one picture."""
    heard = stage.status.heard if stage.status else None  # statuses come twice a second
    name = f"{heard['name']} ({heard['similarity']:.2f})" if heard else "nothing yet"
    latency = "" if frame.latency is None else f"{frame.latency * MS_PER_S:6.0f} ms after the sound"
    return f"{frame.sequence:8}  {name:24}{latency}".rstrip()


def main() -> None:
    """Take the words of the command line, and watch."""
    parser = argparse.ArgumentParser(description="Watches a running stage.")
    parser.add_argument("url", nargs="?", default=URL, help=f"the server's socket ({URL})")
    parser.add_argument("--pictures", type=int, metavar="N", help="end after so many (without: never)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the last picture: .png, .jpg, .webp")
    words = parser.parse_args()
    try:
        asyncio.run(watch(words.url, words.pictures, words.save))
    except ClaviluxError as error:
        sys.exit(f"watch.py: {error}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
