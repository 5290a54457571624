"""Packing: what `run.sh` unpacks, within its limit. Fetching takes a network, and is not tried here."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.on_card import pack as packing
from clavilux.benchmarks.on_card.pack import MIB, PACKAGES, archive, fetch, main, pack
from clavilux.benchmarks.on_card.run import LARGE, LUMIA

RUNTIME = {  # files of onnxruntime's wheel, and whether they are packed
    "onnxruntime/capi/libonnxruntime_providers_cuda.so": True,
    "onnxruntime/capi/libonnxruntime_providers_shared.so": True,
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": False,
    "onnxruntime/capi/libonnxruntime.so.1.31.1": False,
    "onnxruntime/tools/check.py": False,
    "onnxruntime/__init__.py": True,
}


@pytest.fixture(autouse=True)
def _wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wheel instead of those of the registry, and a library that is slim already."""
    wheel = tmp_path / "onnxruntime_gpu.whl"
    with zipfile.ZipFile(wheel, "w") as content:
        for name in RUNTIME:
            content.writestr(name, name)
    monkeypatch.setattr(packing, "fetch", lambda folder, python: [wheel])
    monkeypatch.setattr(packing, "zstd", lambda: bytes)
    monkeypatch.setattr(packing, "slim", lambda library, architecture, unpack: library.extend(b", slim"))


def unpacked(card: Path, to: Path) -> set[str]:
    """Unpack as `run.sh` does; return the names of all files."""
    for one in card.iterdir():
        subprocess.run([sys.executable, "-m", "tarfile", "-e", str(one), str(to)], check=True, capture_output=True)
    return {path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()}


def test_what_is_unpacked_is_the_runtime_without_what_nobody_loads_and_the_skeletons(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "DEFAULT_BUNDLE", tiny_bundle)
    pack(tmp_path / "card", tiny_bundle, "3.12", lambda line: None)
    found = unpacked(tmp_path / "card", tmp_path / "there")
    assert {name for name in found if name.startswith("site/")} == {
        f"site/{name}" for name, kept in RUNTIME.items() if kept
    }
    assert {f"skeletons/{name}/weights.json" for name in (LUMIA, LARGE)} <= found
    library = tmp_path / "there" / "site" / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so"
    assert library.read_text().endswith(", slim")


def test_without_a_large_bundle_lumia_is_packed_alone(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packing, "DEFAULT_BUNDLE", tiny_bundle)
    assert main(["--out", str(tmp_path / "card")]) == 0
    with tarfile.open(tmp_path / "card" / "skeletons.tar.xz") as content:
        assert not any(LARGE in name for name in content.getnames())
    assert " of 64 MiB; take it along with the checkout" in capsys.readouterr().out


def test_too_much_is_refused(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "DEFAULT_BUNDLE", tiny_bundle)
    monkeypatch.setattr(packing, "MAX_MIB", 1 / MIB)
    with pytest.raises(BenchError, match=r"MiB; expected at most .*: leave --large out"):
        pack(tmp_path / "card", None, "3.12", lambda line: None)


def test_an_archive_holds_its_folder_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "module.py").write_text("x = 1\n")
    archive(tmp_path / "site", tmp_path / "out.tar.xz")
    with tarfile.open(tmp_path / "out.tar.xz") as content:
        assert content.getnames() == ["site", "site/module.py"]


def test_what_pip_says_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 1, "", "a warning\nERROR: no matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: done)
    with pytest.raises(BenchError, match="pip does not fetch the packages: ERROR: no matching distribution"):
        fetch(tmp_path, "3.12")
    assert PACKAGES[0].startswith("onnxruntime-gpu==")
