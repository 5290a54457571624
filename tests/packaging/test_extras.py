"""Extras: whatever tells people to install one names one that there is."""

import re
import tomllib

import pytest

from tests.paths import ROOT

NAMED = re.compile(r"clavilux\[([a-z, -]+)\]")
PLACES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", *(
    f"{folder}/**/*.py" for folder in ("benchmarks", "export", "runtime", "server", "training")
))  # fmt: skip
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def test_every_extra_that_is_named_anywhere_exists() -> None:
    files = [path for place in PLACES for path in ROOT.glob(place)]
    named = {
        extra.strip(): path.relative_to(ROOT)
        for path in files
        for extras in NAMED.findall(path.read_text(encoding="utf-8"))
        for extra in extras.split(",")
    }
    assert {"cpu", "gpu", "gpu-slim", "tensorrt-rtx"} <= named.keys()
    assert {extra: str(path) for extra, path in named.items() if extra not in EXTRAS} == {}


@pytest.mark.parametrize("library", ["onnxruntime-gpu[cuda,cudnn]", "nvidia-cublas"])
def test_the_extra_for_cards_brings_cuda(library: str) -> None:
    """ONNX Runtime's own extra for CUDA leaves cuBLAS to cuDNN's package, which takes any version of it."""
    assert any(wanted.startswith(library) for wanted in EXTRAS["gpu"])
    assert EXTRAS["gpu-slim"] == ["onnxruntime-gpu>=1.31"]
