"""Plays a sound file to a running stage as its performer, as fast as it sounds, and says what is heard.

    clavilux serve                                                             # in one terminal, and in another:
    python examples/play_a_file.py tests/sounds/penguin.wav
    python examples/play_a_file.py song.flac wss://stage.example/ws --save end.png

Everyone who watches that stage sees it: the page, `examples/watch.py`, a sketch. WAV, FLAC, OGG, MP3 and whatever else
libsndfile reads. A server that wants a token is shown the one in CLAVILUX_TOKEN. (Without a server, and as fast as the
machine can: `clavilux render song.flac song.mp4`.)
"""

import argparse
import asyncio
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from clavilux import SoundFormat, connect
from clavilux.runtime.errors import ClaviluxError

if TYPE_CHECKING:
    from clavilux.server.client.frame import ReceivedFrame
    from clavilux.server.client.stage import ClientStage

URL = "ws://127.0.0.1:7860/ws"
BLOCK_SECONDS = 0.02  # what a sound card hands over at once
TAIL_SECONDS = 1.0  # of silence after the file: the picture stays, and two statuses come


async def play(path: Path, url: str, save: Path | None) -> None:
    """Play the file at `path`; print each name that is heard; keep the picture at the end as `save`."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    sound = SoundFormat(rate=rate, channels=samples.shape[1])
    token = os.environ.get("CLAVILUX_TOKEN")
    newest: ReceivedFrame | None = None
    async with connect(url, role="performer", sound=sound, token=token) as stage:
        began, last = time.monotonic(), ""
        sending = asyncio.create_task(send(stage, samples, rate))
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


async def send(stage: "ClientStage", samples: NDArray[np.float32], rate: int) -> None:
    """Send `samples`, [n, channels], each block when it would have been recorded, until all of it is in a picture."""
    tail = np.zeros((round(TAIL_SECONDS * rate), samples.shape[1]), np.float32)
    whole, block = np.concatenate([samples, tail]), round(BLOCK_SECONDS * rate)
    began = time.monotonic()
    for end in range(block, len(whole) + block, block):
        await asyncio.sleep(began + end / rate - time.monotonic())  # a delay that is past is none
        await stage.send(whole[end - block : end])
    marker = await stage.mark("end")
    while not marker.done():  # sound is taken in hops: fill the last one
        await stage.send(tail[:block])
        await asyncio.sleep(BLOCK_SECONDS)


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
        asyncio.run(play(words.sound, words.url, words.save))
    except (ClaviluxError, soundfile.SoundFileError) as error:
        sys.exit(f"play_a_file.py: {error}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
