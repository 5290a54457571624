"""Shared by several tests: marks for those that need torch or a browser, tiny checkpoints, and bundles made of these.

Marks are read from imports, so that nobody has to set them: `torch` where a test's module, the test itself or one of
its fixtures imports torch or what comes with it, through any number of modules; `browser` likewise for playwright.
Only a test that calls what imports torch inside a function wears its mark in the open. Files that are left out anyway,
or that cannot be imported here, are not even collected: importing torch takes seconds.
"""

import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from tests.exported import NoBundleError, shelf
from tests.imports import inside, needs
from tests.paths import ROOT

WITH_TORCH = (
    "accelerate datasets diffusers huggingface_hub onnx_ir onnxscript peft tensorboard tokenizers torch transformers"
)
MARKS = {"torch": frozenset(WITH_TORCH.split()), "browser": frozenset({"playwright"})}
"""Marks, and the packages that a test needs to get each."""
P = ParamSpec("P")
R = TypeVar("R")
DROP_CAPABILITY, SYS_NICE = 24, 23  # PR_CAPBSET_DROP and CAP_SYS_NICE of linux/prctl.h and capability.h


def pytest_configure(config: pytest.Config) -> None:
    """Let what tests start be as it is for anyone: Ctrl-C interrupts it, and nothing starves what a test is about.

    A shell lets Ctrl-C be ignored by what it starts in the background. Root's Chromium puts itself before all others.
    And Linux shares the processor between sessions first: every browser is one, so all workers together would have
    what one browser has.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DROP_CAPABILITY, SYS_NICE, 0, 0, 0)  # who is not root has none to drop
        if hasattr(config, "workerinput"):
            with suppress(PermissionError):  # it leads one already
                os.setsid()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is left out, and why."""
    missing = [f"not installed: tests marked {mark} are left out" for mark in MARKS if not installed(mark)]
    unwanted = [
        f"-m leaves out tests marked {mark}; `-m ''` leaves out none" for mark in MARKS if unasked(mark, config)
    ]
    return missing + unwanted


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Give everything that is tested one worker more than there are cores, for many tests wait; a part gets none."""
    if config.args_source == pytest.Config.ArgsSource.ARGS:
        return 0
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without collecting garbage, which takes more time: what they are made of stays anyway."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish() -> None:
    """Trace graphs without counting lines, which takes half as long again: what is traced also runs as it is."""
    if torch := sys.modules.get("torch"):
        torch.onnx.export = uncounted(torch.onnx.export)


def uncounted(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function`, running which counts for no coverage."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        counting = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(counting)

    return run


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot be imported here, and what would be deselected as a whole."""
    if collection_path.suffix != ".py":
        return None
    marks = marks_for(needs(collection_path))
    return any(not installed(mark) or unasked(mark, config) for mark in marks) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test, before `-m` selects some, and put files first that need torch: they take longest.

    Files that play in a browser are spread among these: they mostly wait, and several at once wait for each other.
    """
    for item in items:
        for mark in marks_for(needed(item)):
            item.add_marker(mark)
        for mark in MARKS:
            if item.get_closest_marker(mark) and not installed(mark):
                item.add_marker(pytest.mark.skip(reason=f"what tests marked {mark} need is not installed"))
    files = {path: marks_for(needs(path)) for path in dict.fromkeys(item.path for item in items)}
    torch, browser = ([path for path, marks in files.items() if mark in marks] for mark in MARKS)
    first = spread(browser, torch)
    places = {path: place for place, path in enumerate([*first, *(path for path in files if path not in first)])}
    items.sort(key=lambda item: places[item.path])


def spread(*kinds: Iterable[Path]) -> list[Path]:
    """Return files of several kinds, those of each kind at even distances."""
    places = {path: (i + 0.5) / len(paths) for paths in map(list, kinds) for i, path in enumerate(paths)}
    return sorted(places, key=places.__getitem__)


def needed(item: pytest.Item) -> frozenset[str]:
    """Return all modules that a test's file, the test and its fixtures import."""
    names = [getattr(item, "originalname", item.name), *getattr(item, "fixturenames", ())]
    folders = [folder for folder in item.path.parents if folder.is_relative_to(ROOT / "tests")]
    files = [item.path, *(file for folder in folders if (file := folder / "conftest.py").is_file())]
    return needs(item.path).union(*(inside(file, name) for file in files for name in names))


def marks_for(modules: frozenset[str]) -> list[str]:
    """Return the marks that a need for `modules` brings."""
    packages = {name.partition(".")[0] for name in modules}
    return [mark for mark, needed in MARKS.items() if needed & packages]


def installed(mark: str) -> bool:
    """Return whether tests of a mark can run here."""
    return find_spec({"torch": "torch", "browser": "playwright"}[mark]) is not None


def unasked(mark: str, config: pytest.Config) -> bool:
    """Return whether `-m` says `not MARK`, alone or before and after `and`."""
    return f"not {mark}" in (term.strip() for term in config.getoption("markexpr").split(" and "))


@contextmanager
def log_as_found() -> Iterator[None]:
    """Give the log back as it was: commands of `training` send it elsewhere, and more of it, for good."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        for added in root.handlers:
            if added not in handlers:
                added.close()
        root.handlers[:] = handlers


@pytest.fixture(autouse=True)
def _each_with_the_log_as_found() -> Iterator[None]:
    with log_as_found():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    """Keep what several tests share from leaving a log that the first of them would take for its own."""
    with nullcontext() if fixturedef.scope == "function" else log_as_found():
        return (yield)


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tests.tiny.write_checkpoints`: `encoder/` and `pipeline/`. Read only: copy before changing."""
    from tests.tiny import write_checkpoints

    return write_checkpoints(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real exported bundle: 64x64 pictures, windows of 2 s, hops of 0.1 s. Read only: copy before changing."""
    return borrowed("tiny", tmp_path_factory)


@pytest.fixture(scope="session")
def flexible_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `tiny_bundle`, with classic guidance, sizes of 16 to 128, batches of 4 and an image encoder. Read only."""
    return borrowed("flexible", tmp_path_factory)


def borrowed(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return this session's copy of a bundle, or skip the test where there is none and none can be made."""
    try:
        return shelf(tmp_path_factory.mktemp("shelf")).borrow(name, tmp_path_factory.mktemp(name))
    except NoBundleError as reason:
        pytest.skip(str(reason))
