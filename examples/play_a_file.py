"""Plays a sound file to a running stage as its performer, as fast as it sounds, and says what is heard.

    clavilux serve                                                             # in one terminal, and in another:
    python examples/play_a_file.py tests/sounds/penguin.wav
    python examples/play_a_file.py song.flac wss://stage.example/ws --save end.png

Everyone who watches that stage sees it: the page, `examples/watch.py`, a sketch. Any file that `clavilux render` takes,
or - for standard input. A server that wants a token is shown the one in CLAVILUX_TOKEN. (Without a server, and as fast
as the machine can: `clavilux render song.flac song.mp4`.)
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clavilux import SoundFormat, connect
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.sound_file import SoundFile, open_sound
from clavilux.runtime.sound.tape import Tape

if TYPE_CHECKING:
    from clavilux.server.client.frame import ReceivedFrame
    from clavilux.server.client.stage import ClientStage

URL = "ws://127.0.0.1:7860/ws"
BLOCK_SECONDS = 0.02  # what a sound card hands over at once
TAIL_SECONDS = 1.0  # of silence after the file: the picture stays, and two statuses come


async def play(file: SoundFile, url: str, save: Path | None) -> None:
    """Play a file; print each name that is heard; keep the picture at the end as `save`."""
    sound = SoundFormat(rate=file.rate, channels=file.channels)
    token = os.environ.get("CLAVILUX_TOKEN")
    newest: ReceivedFrame | None = None
    async with connect(url, role="performer", sound=sound, token=token) as stage:
        began, last = time.monotonic(), ""
        sending = asyncio.create_task(send(stage, file))
        try:
            async for frame in stage:
                newest = frame
                if (name := heard(stage)) != last:
                    print(f"{time.monotonic() - began:6.1f} s  {name}", flush=True)
                    last = name
                if sending.done():
                    sending.result()  # raises what ended it early
                    break
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    if save is not None and newest is not None:
        Image.fromarray(newest.pixels).save(save)


async def send(stage: "ClientStage", file: SoundFile) -> None:
    """Send a file, each block when it would have been recorded, until all of it is in a picture."""
    count = round(BLOCK_SECONDS * file.rate)
    began, sent = time.monotonic(), 0
    for block in blocks(file, count):
        sent += len(block)
        await asyncio.sleep(began + sent / file.rate - time.monotonic())  # a delay that is past is none
        await stage.send(block)
    marker = await stage.mark("end")
    while not marker.done():  # sound is taken in hops: fill the last one
        await stage.send(np.zeros((count, file.channels), np.float32))
        await asyncio.sleep(BLOCK_SECONDS)


def blocks(file: SoundFile, count: int) -> Iterator[NDArray[np.float32]]:
    """Yield a file, `count` samples of each channel at a time, and silence after it."""
    tape = Tape(file)
    while len(block := tape.take(tape.taken + count)):
        yield block
    yield from repeat(np.zeros((count, file.channels), np.float32), round(TAIL_SECONDS / BLOCK_SECONDS))


def heard(stage: "ClientStage") -> str:
    """Return the name that the newest status tells, "" while there is none."""
    nearest = stage.status.heard if stage.status else None
    return str(nearest["name"]) if nearest else ""


def main() -> None:
    """Take the words of the command line, and play."""
    parser = argparse.ArgumentParser(description="Plays a sound file to a running stage.")
    parser.add_argument("sound", type=Path, help="the file")
    parser.add_argument("url", nargs="?", default=URL, help=f"the server's socket ({URL})")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the picture at the end: .png, .jpg, .webp")
    words = parser.parse_args()
    try:
        with open_sound(words.sound) as file:
            asyncio.run(play(file, words.url, words.save))
    except ClaviluxError as error:
        sys.exit(f"play_a_file.py: {error}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
