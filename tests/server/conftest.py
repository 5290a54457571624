"""Fixtures for the server's tests: asyncio for async tests, a fake engine, a server on a free port."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clavilux.server.settings import Settings
from clavilux.server.web.run import Listening
from tests.server.fakes import FakeEngine, serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with a page, as the product has one."""
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    (tmp_path / "client.js").write_text("export {};")
    (tmp_path / "style.css").write_text("body {}")
    return tmp_path


@pytest.fixture
def settings(page: Path) -> Settings:
    """Port 0, a page of two lines, and statuses so rare that only the tests that ask for them see one."""
    return Settings(port=0, page=page, status_seconds=3600.0)


@pytest.fixture
def here(engine: FakeEngine, settings: Settings) -> Iterator[Listening]:
    """A real server round the fake engine."""
    with serving(engine, settings) as listening:
        yield listening


@pytest.fixture
def url(here: Listening) -> str:
    """The address of the real server's socket."""
    return f"ws://{here.host}:{here.port}/ws"
