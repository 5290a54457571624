"""The store of engines: what fits is found, what does not is built again and said, and half an engine never shows."""

import json
import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import user_cache
from clavilux.runtime.providers.engine_cache import (
    RECORD,
    EngineKey,
    describe_shapes,
    engine_folder,
    engine_places,
    is_kept,
)
from clavilux.runtime.providers.session import GraphFile, ShapeRange

KEY = EngineKey(
    graph="denoiser.onnx",
    provider="tensorrt",
    sha256="a" * 64,
    precision="float16",
    shapes="",
    architecture="sm89",
    version="10.13.3",
)


class Builder:
    """Writes an engine, and counts how often it had to."""

    def __init__(self, content: bytes = b"engine") -> None:
        self.content = content
        self.built: list[Path] = []

    def __call__(self, folder: Path) -> None:
        self.built.append(folder)
        (folder / "a.engine").write_bytes(self.content)


def use(key: EngineKey, places: list[Path], build: Callable[[Path], None] | None = None) -> tuple[Path, bool, bytes]:
    with engine_folder(key, places, build or Builder()) as engine:
        return engine.folder, engine.kept, (engine.folder / "a.engine").read_bytes()


def test_an_engine_is_built_once(tmp_path: Path) -> None:
    build = Builder()
    first = use(KEY, [tmp_path], build)
    assert use(KEY, [tmp_path], build) == first == (tmp_path / KEY.folder, True, b"engine")
    assert len(build.built) == 1


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("architecture", "sm120", "was built for sm89, here is sm120"),
        ("version", "10.14.0", "was built by version 10.13.3, here is 10.14.0"),
        ("sha256", "b" * 64, "was built from another model"),
        ("precision", "float32", "was built in float16, the graph is in float32"),
        ("shapes", "tokens=1..2..3", "was built for other sizes"),
    ],
)
def test_whatever_changes_it_is_built_again_and_the_change_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, part: str, value: str, told: str
) -> None:
    use(KEY, [tmp_path])
    caplog.clear()
    build = Builder(b"other")
    assert use(replace(KEY, **{part: value}), [tmp_path], build)[2] == b"other"
    assert caplog.messages == [
        f"the engine for denoiser.onnx {told}: building again, which can take minutes",
    ]


def test_an_engine_is_known_to_be_kept_once_it_is_built(tmp_path: Path) -> None:
    assert not is_kept(KEY, [tmp_path])
    use(KEY, [tmp_path])
    assert is_kept(KEY, [tmp_path / "elsewhere", tmp_path])
    assert not is_kept(replace(KEY, sha256=""), [tmp_path])


def test_the_first_build_is_said_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    use(KEY, [tmp_path])
    assert caplog.messages == ["building the engine for denoiser.onnx on sm89, which can take minutes"]


def test_engines_of_another_graph_or_provider_do_not_count_as_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(KEY, [tmp_path])
    use(replace(KEY, graph="decoder.onnx"), [tmp_path])
    use(replace(KEY, provider="tensorrt-rtx"), [tmp_path])
    assert all(message.startswith("building the engine for") for message in caplog.messages)


def test_an_engine_that_fits_is_found_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    use(KEY, [tmp_path])
    caplog.clear()
    use(KEY, [tmp_path])
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "a.engine").write_bytes(b"enginE"), "a.engine differs from its record"),
        (lambda folder: (folder / "a.engine").unlink(), "a.engine is missing"),
        (lambda folder: (folder / RECORD).unlink(), f"no {RECORD}"),
        (lambda folder: (folder / RECORD).write_text("{"), f"no {RECORD}"),
        (lambda folder: (folder / RECORD).write_text("[]"), f"no {RECORD}"),
        (lambda folder: (folder / RECORD).write_text('{"key": {}, "files": {}}'), f"no {RECORD}"),
        (lambda folder: (folder / RECORD).write_text(" " * 2**21), f"no {RECORD}"),
        (
            lambda folder: (folder / RECORD).write_text((folder / RECORD).read_text().replace("sm89", "sm90")),
            "its record is another engine's",
        ),
    ],
)
def test_a_damaged_engine_is_built_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object], told: str
) -> None:
    folder = use(KEY, [tmp_path])[0]
    damage(folder)
    caplog.clear()
    build = Builder()
    assert use(KEY, [tmp_path], build) == (folder, True, b"engine")
    assert len(build.built) == 1
    assert f"in {folder} is damaged, {told}: building again" in caplog.text
    assert not list(tmp_path.glob(".*"))


def test_a_record_names_no_file_outside_its_folder(tmp_path: Path) -> None:
    folder = use(KEY, [tmp_path])[0]
    record = json.loads((folder / RECORD).read_text())
    record["files"]["../outside"] = record["files"]["a.engine"]
    (folder / RECORD).write_text(json.dumps(record))
    (tmp_path / "outside").write_bytes(b"engine")
    build = Builder()
    use(KEY, [tmp_path], build)
    assert build.built


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half.engine").write_bytes(b"half")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        use(KEY, [tmp_path], build)
    assert list(tmp_path.iterdir()) == []


def test_while_it_is_built_it_cannot_be_found(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        assert not (tmp_path / KEY.folder).exists()
        assert folder.name.startswith(".")
        Builder()(folder)

    use(KEY, [tmp_path], build)


def test_when_another_process_was_first_its_engine_is_taken(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        use(KEY, [tmp_path], Builder(b"theirs"))
        Builder(b"ours")(folder)

    assert use(KEY, [tmp_path], build) == (tmp_path / KEY.folder, True, b"theirs")
    assert [path.name for path in tmp_path.iterdir()] == [KEY.folder]


def _build_slowly(folder: str, barrier: object, results: object) -> None:
    def build(part: Path) -> None:
        barrier.wait()  # type: ignore[attr-defined]
        Builder(str(os.getpid()).encode())(part)

    results.put(use(KEY, [Path(folder)], build)[2])  # type: ignore[attr-defined]


def test_two_processes_that_build_at_once_both_get_a_whole_engine(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_build_slowly, args=(str(tmp_path), barrier, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    engines = {results.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert engines <= {str(worker.pid).encode() for worker in workers}
    assert use(KEY, [tmp_path])[2] in engines
    assert [path.name for path in tmp_path.iterdir()] == [KEY.folder]


def unwritable(folder: Path) -> Path:
    """A place that nobody can make a folder in, not even root."""
    folder.write_text("a file")
    return folder / "engines"


def test_a_bundle_that_cannot_be_written_has_its_engines_in_the_user_s_cache(tmp_path: Path) -> None:
    folder, kept, _ = use(KEY, [unwritable(tmp_path / "bundle"), tmp_path / "cache"])
    assert (folder.parent, kept) == (tmp_path / "cache", True)


def test_an_engine_that_lies_in_the_bundle_is_used_before_the_cache(tmp_path: Path) -> None:
    use(KEY, [tmp_path / "cache"], Builder(b"cached"))
    use(KEY, [tmp_path / "bundle"], Builder(b"shipped"))
    assert use(KEY, [tmp_path / "bundle", tmp_path / "cache"])[2] == b"shipped"


def test_where_nothing_can_be_written_it_plays_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = [unwritable(tmp_path / "bundle"), unwritable(tmp_path / "cache")]
    folder, kept, content = use(KEY, places)
    assert (kept, content) == (False, b"engine")
    assert not folder.exists()
    assert f"not kept, because {places[0]} and {places[1]} cannot be written: it is built at every start" in caplog.text


def test_the_engine_of_a_graph_without_a_hash_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert use(replace(KEY, sha256=""), [tmp_path])[1] is False
    assert "not kept, because it is not part of a bundle" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_engines_of_older_models_and_versions_go_away_in_the_bundle(tmp_path: Path) -> None:
    for key in (KEY, replace(KEY, version="10.14.0"), replace(KEY, version="10.14.0", sha256="b" * 64)):
        folder = use(key, [tmp_path])[0]
    assert list(tmp_path.iterdir()) == [folder]


def test_the_user_s_cache_keeps_the_engines_of_other_bundles(tmp_path: Path) -> None:
    places = [unwritable(tmp_path / "bundle"), tmp_path / "cache"]
    for key in (KEY, replace(KEY, sha256="b" * 64), replace(KEY, version="10.14.0")):
        use(key, places)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_engines_for_other_cards_and_sizes_stay(tmp_path: Path) -> None:
    for key in (KEY, replace(KEY, architecture="sm120"), replace(KEY, shapes="tokens=1..2..3")):
        use(key, [tmp_path])
    assert len(list(tmp_path.iterdir())) == 3


def test_what_crashed_builds_left_is_swept_after_a_day(tmp_path: Path) -> None:
    for name, age in ((".crashed.01234567.part", 25 * 3600), (".building.01234567.part", 3600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).write_text("half")
        os.utime(tmp_path / name, times=(0, time.time() - age))
    use(KEY, [tmp_path])
    assert {path.name for path in tmp_path.iterdir()} == {".building.01234567.part", KEY.folder}


def test_an_engine_that_is_being_built_is_not_what_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    use(KEY, [tmp_path])[0].rename(tmp_path / ".building.01234567.part")
    caplog.clear()
    use(replace(KEY, architecture="sm120"), [tmp_path])
    assert caplog.messages == ["building the engine for denoiser.onnx on sm120, which can take minutes"]


def test_a_build_that_fills_the_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ClaviluxError, match=r"cannot be written \(No space left on device\)"):
        use(KEY, [tmp_path], build)
    assert list(tmp_path.iterdir()) == []


def test_a_key_s_folder_depends_on_each_of_its_parts() -> None:
    changed = [replace(KEY, **{name: "x.onnx"}) for name in vars(KEY)]
    assert len({KEY.folder, *(key.folder for key in changed)}) == len(changed) + 1


def test_a_key_s_folder_can_be_read() -> None:
    assert KEY.folder.startswith("denoiser-tensorrt-sm89-")


def test_shapes_are_told_in_a_line() -> None:
    spans = {"tokens": ShapeRange((1, 4), (2, 4), (3, 4)), "features": ShapeRange((1,), (1,), (2,))}
    assert describe_shapes(spans) == "features=1..1..2,tokens=1x4..2x4..3x4"
    assert describe_shapes({}) == ""


def test_a_graph_s_engines_lie_beside_it_first(tmp_path: Path) -> None:
    places = engine_places(GraphFile(tmp_path / "denoiser.onnx"))
    assert places == (tmp_path / "engines", user_cache("engines"))


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "clavilux.engines")
