"""The card and its libraries: what is missing is said in one line, with where it comes from."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia import driver as nvidia
from clavilux.runtime.providers.nvidia.driver import (
    Card,
    find_card,
    load_cudnn,
    load_tensorrt,
    refuse_old_driver,
    tensorrt_libraries,
)
from tests.runtime.providers.nvidia.fake_gpu import Driver, load_only

NAMES = ["libnvinfer.so.10", "libnvonnxparser.so.10"]


def test_a_card_has_a_name_and_an_architecture() -> None:
    found = find_card(load_only(libcuda=Driver(b"NVIDIA H100", (9, 0)), nvcuda=Driver()))
    assert found == Card("NVIDIA H100", "sm90", "13.0")


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
    ("name", "architecture", "devices"),
    [
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "sm86", ("tensorrt-rtx", "cuda")),
        ("NVIDIA RTX 6000 Ada Generation", "sm89", ("tensorrt-rtx", "cuda")),
        ("NVIDIA GeForce RTX 5090", "sm120", ("tensorrt-rtx", "cuda")),
        ("NVIDIA A100-SXM4-80GB", "sm80", ("cuda", "tensorrt")),
        ("NVIDIA H100 80GB HBM3", "sm90", ("cuda", "tensorrt")),
        ("NVIDIA L40S", "sm89", ("cuda", "tensorrt")),
        ("NVIDIA B200", "sm100", ("tensorrt",)),
        ("NVIDIA GeForce RTX 2080 Ti", "sm75", ("cuda", "tensorrt")),
    ],
)
def test_a_card_is_for_tensorrt_for_rtx_where_that_serves_it(
    name: str, architecture: str, devices: tuple[str, ...]
) -> None:
    assert Card(name, architecture, "13.0").devices == devices


@given(version=st.integers(9000, 15999), needed=st.integers(11, 15))
def test_a_driver_runs_every_minor_version_of_its_cuda_and_older_ones(version: int, needed: int) -> None:
    card = find_card(load_only(libcuda=Driver(cuda=version), nvcuda=Driver(cuda=version)))
    if version // 1000 >= needed:
        refuse_old_driver(card, needed)
    else:
        with pytest.raises(ProviderError, match=rf"up to {card.cuda}, needed is CUDA {needed}; install .*driver"):
            refuse_old_driver(card, needed)


def test_a_driver_that_is_too_old_is_told_with_the_one_that_is_needed() -> None:
    card = find_card(load_only(libcuda=Driver(cuda=12080), nvcuda=Driver(cuda=12080)))
    with pytest.raises(ProviderError) as caught:
        refuse_old_driver(card, 13)
    assert str(caught.value) == (
        "the NVIDIA driver is too old: it runs CUDA up to 12.8, needed is CUDA 13; "
        "install driver 580 or newer (nvidia-smi shows yours), or use --device cpu"
    )


def test_cudnn_is_found_in_nvidia_s_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "nvidia" / "cudnn" / "lib" / nvidia.CUDNN
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.syspath_prepend(tmp_path)
    asked: list[str] = []
    load_cudnn(asked.append)
    assert asked == [str(library)]


def test_cudnn_is_found_on_the_system() -> None:
    load_cudnn(load_only(libcudnn=object(), cudnn64_9=object()))


def test_a_cudnn_that_is_missing_is_named_with_where_it_comes_from() -> None:
    with pytest.raises(ProviderError, match=r"cuDNN 9 is not here \(.*cudnn.*\); run: pip install 'clavilux\[gpu\]'"):
        load_cudnn(load_only())


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
    assert load_tensorrt(NAMES, 13, load_only(libnvinfer=library, libnvonnxparser=object())) == "10.13.3"


def test_tensorrt_is_found_in_nvidia_s_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt_libs").mkdir()
    for name in ("__init__.py", *NAMES):
        (tmp_path / "tensorrt_libs" / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    asked: list[str] = []

    def load(name: str) -> object:
        asked.append(name)
        return SimpleNamespace(getInferLibVersion=lambda: 101303)

    load_tensorrt(NAMES, 13, load)
    assert asked == [str(tmp_path / "tensorrt_libs" / name) for name in NAMES]


def test_libraries_of_tensorrt_that_are_missing_are_named() -> None:
    with pytest.raises(ProviderError, match=r"TensorRT 10 is not here \(libnvonnxparser\.so\.10\); run: pip install"):
        load_tensorrt(NAMES, 13, load_only(libnvinfer=object()))


def test_a_provider_that_wants_no_tensorrt_is_an_error() -> None:
    with pytest.raises(ProviderError, match=r"TensorRT of any version is not here \(no library\)"):
        load_tensorrt([], 13, load_only())


def test_on_a_machine_without_a_driver_the_real_loader_says_so() -> None:
    try:
        nvidia.ctypes.CDLL(nvidia.DRIVER)
    except OSError:
        with pytest.raises(ProviderError, match=r"no NVIDIA driver here"):
            find_card()
    else:
        pytest.skip("there is an NVIDIA driver here")
