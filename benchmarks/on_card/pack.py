"""Packing for a machine with a card and no network: what it lacks, into `.card` of the checkout.

    python -m clavilux.benchmarks.on_card.pack --large my-bundle     # here: three minutes, takes onnx and zstandard

What is assumed of that machine: Linux on x86-64, Python 3.12 (`--python`) with torch for CUDA 13, whose libraries
ONNX Runtime then uses, and a card of architecture sm90. It gets ONNX Runtime for CUDA with that card's code alone
(`clavilux.benchmarks.on_card.slim_cuda`), the few packages that the steps import, and bundles without their weights
(`clavilux.benchmarks.on_card.skeleton`). There, `run.sh` finds `.card` by itself.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from clavilux.benchmarks.command_line import ended, stopwatch
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.on_card import skeleton
from clavilux.benchmarks.on_card.run import LARGE, LUMIA
from clavilux.benchmarks.on_card.slim_cuda import HOPPER, slim, zstd
from clavilux.export.options import Progress
from clavilux.runtime.loading import DEFAULT_BUNDLE

PACKAGES = (
    "onnxruntime-gpu==1.31.1",  # whose CUDA library `slim_cuda` knows
    "diffusers",
    "filelock",
    "kaldi-native-fbank",
    "msgspec",
    "platformdirs",
    "safetensors",
)
"""Packages that the steps import, but for NumPy and torch, which are there."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
UNUSED = ("libonnxruntime.so.*", "libonnxruntime_providers_tensorrt.so")  # beside the CUDA library
UNUSED_FOLDERS = ("quantization", "tools", "transformers")  # of onnxruntime
PYTHON = "3.12"
SITE, SKELETONS = "site", "skeletons"  # folders, as `run.sh` unpacks them
MIB = 2**20
MAX_MIB = 64  # of all that travels


def pack(out: Path, large: Path | None, python: str, progress: Progress) -> float:
    """Fill the folder `out` and return its size in MiB. Raises BenchError when it cannot be, or is too large.

    `python` is the other machine's version, for example "3.12".
    """
    unpack = zstd()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for name, bundle in ((LUMIA, DEFAULT_BUNDLE), (LARGE, large)):
            if bundle is not None:
                progress(f"{name}: {bundle} without its weights")
                skeleton.strip(bundle, work / SKELETONS / name)
        progress(f"fetching {', '.join(PACKAGES)}")
        install(fetch(work / "wheels", python), work / SITE)
        progress(f"leaving out what sm{HOPPER} does not run")
        lighten(work / SITE / "onnxruntime")
        library = work / SITE / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so"
        content = bytearray(library.read_bytes())
        slim(content, HOPPER, unpack)
        library.write_bytes(content)
        out.mkdir(parents=True, exist_ok=True)
        for name in (SITE, SKELETONS):
            progress(f"compressing {name}")
            archive(work / name, out / f"{name}.tar.xz")
    size = sum(path.stat().st_size for path in out.iterdir()) / MIB
    if size > MAX_MIB:
        raise BenchError(f"{out} holds {size:.1f} MiB; expected at most {MAX_MIB}: leave --large out")
    return size


def fetch(folder: Path, python: str) -> list[Path]:
    """Return the wheels of PACKAGES for the other machine. Raises BenchError when pip does not find them."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    wanted = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *wanted, "--dest", str(folder), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise BenchError(f"pip does not fetch the packages: {said[-1] if said else done.returncode}")
    return sorted(folder.glob("*.whl"))


def install(wheels: Sequence[Path], site: Path) -> None:
    """Unpack wheels into a folder that then stands in PYTHONPATH."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as content:
            content.extractall(site)  # noqa: S202 (as pip does)


def lighten(onnxruntime: Path) -> None:
    """Remove what of ONNX Runtime no session loads."""
    for pattern in UNUSED:
        for path in (onnxruntime / "capi").glob(pattern):
            path.unlink()
    for name in UNUSED_FOLDERS:
        shutil.rmtree(onnxruntime / name, ignore_errors=True)


def archive(folder: Path, out: Path) -> None:
    """Write a folder, under its own name, as an archive that `python -m tarfile -e` unpacks."""
    with tarfile.open(out, "w:xz") as content:
        content.add(folder, folder.name)


def main(words: Sequence[str] | None = None) -> int:
    """Pack, and say how large it became; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=Path, metavar="BUNDLE", help="of sd-turbo's size, or one's own")
    parser.add_argument("--out", type=Path, default=Path(".card"), metavar="FOLDER", help="of the checkout (.card)")
    parser.add_argument("--python", default=PYTHON, metavar="X.Y", help=f"of the other machine ({PYTHON})")
    asked = parser.parse_args(words)

    def run() -> None:
        size = pack(asked.out, asked.large, asked.python, stopwatch())
        print(f"{asked.out}: {size:.1f} of {MAX_MIB} MiB; take it along with the checkout")
        print(f"if there is no room for {DEFAULT_BUNDLE.name}'s denoiser.onnx, leave it behind: its skeleton is packed")

    return ended("pack", run)


if __name__ == "__main__":
    sys.exit(main())
