"""The NVIDIA card of this machine and the libraries that its providers load, asked without any package.

The driver's own library answers; it comes with the driver, so where it is missing there is nothing to run on.
"""

import ctypes
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clavilux.runtime.errors import ProviderError

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
MAJOR, MINOR = 75, 76  # CUdevice_attribute: of the compute capability
MAX_NAME = 256  # bytes
OLDEST_DRIVERS = {12: 525, 13: 580}  # by CUDA's major version: a driver runs every minor one of it
WITHOUT_CODE = (
    10,
    11,
)  # generations (B200, B300) that onnxruntime-gpu 1.31 has no kernels for, nor code to make them of
SERVED = "sm86 (RTX 30), sm89 (RTX 40) and sm120 (RTX 50) or newer"  # by TensorRT for RTX
CUDNN = "cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9"
BROUGHT = "run: pip install 'clavilux[gpu]', which brings it (1.6 GB), or install it for the whole system"
LIBRARY = re.compile(rb"(?:lib(nvinfer|nvonnxparser)\.so\.(\d+)|(nvinfer|nvonnxparser)_(\d+)\.dll)")

Loader = Callable[[str], Any]


@dataclass(frozen=True)
class Card:
    """One NVIDIA card."""

    name: str
    architecture: str  # for example "sm89": compute capability 8.9
    cuda: str  # newest version that its driver runs, for example "13.0"

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices for it, as `--device` calls them, the best first: TensorRT for RTX where it serves the card.

        It serves cards that have RTX in their name; those of data centres (H100, A100, but L40S and A10, too) have not.
        """
        generation = int(self.architecture.removeprefix("sm"))
        if generation // 10 in WITHOUT_CODE:
            return ("tensorrt",)
        is_served = "RTX" in self.name and (generation in (86, 89) or generation >= 120)
        return ("tensorrt-rtx", "cuda") if is_served else ("cuda", "tensorrt")


def find_card(load: Loader = ctypes.CDLL) -> Card:
    """Return the first card that this process may use. Raises ProviderError: no driver, no card, a broken driver."""
    try:
        driver = load(DRIVER)
    except OSError as error:
        raise ProviderError(
            f"no NVIDIA driver here ({DRIVER} is missing); install one for your card, or use --device cpu"
        ) from error
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if failed or not count.value:
        code = f" (CUDA error {failed})" if failed else ""
        raise ProviderError(f"no NVIDIA card to be seen{code}; check nvidia-smi, or use --device cpu")
    name = ctypes.create_string_buffer(MAX_NAME)
    driver.cuDeviceGetName(name, MAX_NAME, 0)
    major, minor = (_attribute(driver, attribute) for attribute in (MAJOR, MINOR))
    version = ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Card(name.value.decode(errors="replace"), f"sm{major}{minor}", cuda)


def refuse_old_driver(card: Card, cuda: int) -> None:
    """Raise ProviderError when the driver of `card` is too old for CUDA of the major version `cuda`.

    Asked before CUDA's libraries are loaded, which would say so in a page of C++.
    """
    if int(card.cuda.partition(".")[0]) < cuda:
        needed = f"driver {OLDEST_DRIVERS[cuda]} or newer" if cuda in OLDEST_DRIVERS else "a newer driver"
        raise ProviderError(
            f"the NVIDIA driver is too old: it runs CUDA up to {card.cuda}, needed is CUDA {cuda}; "
            f"install {needed} (nvidia-smi shows yours), or use --device cpu"
        )


def load_cudnn(load: Loader = ctypes.CDLL) -> None:
    """Load cuDNN, from NVIDIA's Python package or the system. Raises ProviderError when it is not here.

    ONNX Runtime takes it for optional, and misses it in the midst of a graph.
    """
    folder = _package_folder("nvidia.cudnn")
    found = sorted(folder.glob(f"*/{CUDNN}")) if folder else []
    try:
        load(str(found[0]) if found else CUDNN)
    except OSError as error:
        raise ProviderError(f"cuDNN 9 is not here ({CUDNN}); {BROUGHT}") from error


def tensorrt_libraries(provider: Path) -> list[str]:
    """Return the file names of TensorRT's libraries that the file `provider`, ONNX Runtime's own, was linked with."""
    names = {match.group(0).decode() for match in LIBRARY.finditer(provider.read_bytes())}
    return sorted(names)


def load_tensorrt(names: Iterable[str], cuda: int, load: Loader = ctypes.CDLL) -> str:
    """Load TensorRT's libraries, from NVIDIA's Python package or the system; return TensorRT's version, as "10.13.3".

    `cuda` is the major version of CUDA that they should be made for, for example 13. Raises ProviderError with
    what is missing and where it comes from.
    """
    names = list(names)
    folder = _package_folder("tensorrt_libs")
    loaded, missing = {}, []
    for name in names:
        try:
            loaded[name] = load(str(folder / name) if folder and (folder / name).is_file() else name)
        except OSError:
            missing.append(name)
    if missing or not loaded:
        major = "".join(filter(str.isdigit, "".join(names[:1])))
        package = f"tensorrt-cu{cuda}-libs" + (f"=={major}.*" if major else "")
        raise ProviderError(
            f"TensorRT {major or 'of any version'} is not here ({', '.join(missing) or 'no library'}); run: "
            f"pip install '{package}' --extra-index-url https://pypi.nvidia.com, or use --device cuda"
        )
    version = next(library for name, library in loaded.items() if "nvinfer" in name).getInferLibVersion()
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def _attribute(driver: Any, attribute: int) -> int:
    value = ctypes.c_int(0)
    driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0)
    return value.value


def _package_folder(name: str) -> Path | None:
    """Return the folder of an installed package, without importing it; it need not be more than a folder."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # of the package that it is in
        return None
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
