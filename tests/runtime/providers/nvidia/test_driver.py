"""The card and its libraries: what is missing is said in one line, with where it comes from."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia import driver as nvidia
from clavilux.runtime.providers.nvidia.driver import Card, find_card, load_tensorrt, tensorrt_libraries
from tests.runtime.providers.nvidia.fake_gpu import Driver, load_only

NAMES = ["libnvinfer.so.10", "libnvonnxparser.so.10"]


def test_a_card_has_a_name_and_an_architecture() -> None:
    assert find_card(load_only(libcuda=Driver(b"NVIDIA H100", (9, 0)), nvcuda=Driver())) == Card("NVIDIA H100", "sm90")


def test_a_blackwell_card_has_three_digits() -> None:
    assert find_card(load_only(libcuda=Driver(capability=(12, 0)))).architecture == "sm120"


def test_without_a_driver_the_error_says_so() -> None:
    with pytest.raises(ProviderError, match=r"no NVIDIA driver here .*missing\); install one"):
        find_card(load_only())


def test_without_a_card_the_error_says_so() -> None:
    with pytest.raises(ProviderError, match=r"no NVIDIA card to be seen; check nvidia-smi"):
        find_card(load_only(libcuda=Driver(cards=0)))


def test_a_driver_that_fails_is_quoted() -> None:
    with pytest.raises(ProviderError, match=r"no NVIDIA card to be seen \(CUDA error 100\)"):
        find_card(load_only(libcuda=Driver(fails=100)))


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"\0libcudart.so.13\0libnvinfer.so.10\0libnvonnxparser.so.10\0libnvinfer.so.10\0", NAMES),
        (b"\0nvinfer_10.dll\0nvonnxparser_10.dll\0", ["nvinfer_10.dll", "nvonnxparser_10.dll"]),
        (b"\0nothing\0", []),
    ],
)
def test_the_provider_says_which_tensorrt_it_wants(tmp_path: Path, content: bytes, names: list[str]) -> None:
    (tmp_path / "provider").write_bytes(content)
    assert tensorrt_libraries(tmp_path / "provider") == names


def test_tensorrt_says_its_version() -> None:
    library = SimpleNamespace(getInferLibVersion=lambda: 101303)
    assert load_tensorrt(NAMES, "13", load_only(libnvinfer=library, libnvonnxparser=object())) == "10.13.3"


def test_tensorrt_is_found_in_nvidia_s_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt_libs").mkdir()
    for name in ("__init__.py", *NAMES):
        (tmp_path / "tensorrt_libs" / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    asked: list[str] = []

    def load(name: str) -> object:
        asked.append(name)
        return SimpleNamespace(getInferLibVersion=lambda: 101303)

    load_tensorrt(NAMES, "13", load)
    assert asked == [str(tmp_path / "tensorrt_libs" / name) for name in NAMES]


def test_libraries_of_tensorrt_that_are_missing_are_named() -> None:
    with pytest.raises(ProviderError, match=r"TensorRT 10 is not here \(libnvonnxparser\.so\.10\); run: pip install"):
        load_tensorrt(NAMES, "13", load_only(libnvinfer=object()))


def test_a_provider_that_wants_no_tensorrt_is_an_error() -> None:
    with pytest.raises(ProviderError, match=r"TensorRT of any version is not here \(no library\)"):
        load_tensorrt([], "13", load_only())


def test_on_a_machine_without_a_driver_the_real_loader_says_so() -> None:
    try:
        nvidia.ctypes.CDLL(nvidia.DRIVER)
    except OSError:
        with pytest.raises(ProviderError, match=r"no NVIDIA driver here"):
            find_card()
    else:
        pytest.skip("there is an NVIDIA driver here")
