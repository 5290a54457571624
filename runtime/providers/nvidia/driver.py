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
LIBRARY = re.compile(rb"(?:lib(nvinfer|nvonnxparser)\.so\.(\d+)|(nvinfer|nvonnxparser)_(\d+)\.dll)")

Loader = Callable[[str], Any]


@dataclass(frozen=True)
class Card:
    """One NVIDIA card."""

    name: str
    architecture: str  # for example "sm89": compute capability 8.9


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
    return Card(name.value.decode(errors="replace"), f"sm{major}{minor}")


def tensorrt_libraries(provider: Path) -> list[str]:
    """Return the file names of TensorRT's libraries that the file `provider`, ONNX Runtime's own, was linked with."""
    names = {match.group(0).decode() for match in LIBRARY.finditer(provider.read_bytes())}
    return sorted(names)


def load_tensorrt(names: Iterable[str], cuda: str, load: Loader = ctypes.CDLL) -> str:
    """Load TensorRT's libraries, from NVIDIA's Python package or the system; return TensorRT's version, as "10.13.3".

    `cuda` is the major version of CUDA that they should be made for, for example "13". Raises ProviderError with
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
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
