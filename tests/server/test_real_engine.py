"""The whole way with a real engine on a real bundle: sound in through a socket, pictures out through others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.loading import open_engine
from clavilux.server.client.connect import SoundFormat, connect
from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.settings import Settings
from clavilux.server.web.run import Listening
from tests.server.fakes import DEADLINE, serving

pytestmark = pytest.mark.anyio

RATE = 16_000
SOUND = SoundFormat("float32", RATE, 1)
BLOCK = np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE).astype(np.float32) * 0.3  # half a second


@pytest.fixture
def stage(tiny_bundle: Path, page: Path) -> Iterator[Listening]:
    """A server round the real engine, warmed up."""
    engine = open_engine(tiny_bundle, threads=1)
    with serving(engine, Settings(port=0, page=page)) as here:
        assert engine.ready.wait(DEADLINE)
        yield here


@pytest.fixture
def url(stage: Listening) -> str:
    return f"ws://{stage.host}:{stage.port}/ws"


async def test_sound_becomes_pictures_that_know_what_they_heard(url: str) -> None:
    async with connect(url, role="performer", sound=SOUND, picture=PictureFormat("rgb")) as stage:
        await stage.send(BLOCK)
        while (frame := await anext(stage)).heard_until is None:
            continue
        assert frame.latency is not None
        assert -1 < frame.latency < DEADLINE
        height, width = stage.hello.picture["height"], stage.hello.picture["width"]
        assert frame.pixels.shape == (height, width, 3)
        assert set(frame.stages) == set(stage.hello.stages)
        assert frame.stages["denoise"] > 0


async def test_a_marker_comes_back_once_its_sound_is_in_a_frame(url: str) -> None:
    async with connect(url, role="performer", sound=SOUND) as stage:
        await stage.send(BLOCK)
        marker = await stage.mark("here")
        while not marker.done():
            await stage.send(BLOCK[: RATE // 50])
            await anext(stage)
        assert (await marker).heard_until > 0


async def test_two_viewers_see_the_frames_of_one_engine(url: str) -> None:
    async with connect(url) as one, connect(url, picture=PictureFormat("webp", 50)) as other:
        for viewer in (one, other):
            first, second = await anext(viewer), await anext(viewer)
            assert second.sequence > first.sequence
            assert second.pixels.shape == first.pixels.shape


async def test_acknowledgements_become_the_status_latency(url: str) -> None:
    async with connect(url, role="performer", sound=SOUND) as stage:
        await stage.send(BLOCK)
        async for _ in stage:
            if stage.status is not None and stage.status.latency is not None:
                break
        assert stage.status is not None
        assert stage.status.latency is not None
        assert 0 <= stage.status.latency["p50"] <= stage.status.latency["p95"]


async def test_parameters_reach_the_picture(url: str) -> None:
    async with connect(url, role="performer", picture=PictureFormat("rgb")) as stage:
        await stage.set(blackout=True)
        async for frame in stage:
            if not frame.pixels.any():
                break


async def test_the_wire_holds_what_the_settings_say(tiny_bundle: Path, page: Path) -> None:
    engine = open_engine(tiny_bundle, threads=1)
    settings = replace(Settings(port=0, page=page), bundle="tiny", token="secret")
    with serving(engine, settings) as here:
        async with connect(f"ws://{here.host}:{here.port}/ws", token="secret") as stage:
            assert stage.hello.bundle == "tiny"
            await anext(stage)
