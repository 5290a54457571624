"""Real engines of TensorRT for RTX without a card: does its compiler take the exported graphs whole?

    CLAVILUX_TRT_AOT=FOLDER/compile.sh pytest tests/runtime/providers/nvidia/test_tensorrt_aot.py

`compile.sh MODEL OUT ARCHITECTURE [option=value ...]` compiles for a named architecture where no driver is; `stubs.py`
beside it writes the libraries that answer in the driver's place. Speed and results need a card: not tested here.
"""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.diffusion.choose import START, WARP
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.nvidia.tensorrt import profile_settings
from clavilux.runtime.providers.nvidia.tensorrt_rtx import PLUGIN
from clavilux.runtime.providers.session import GraphFile
from tests.paths import ROOT

GRAPHS = (AUDIO_ENCODER, DENOISER, DECODER)
ARCHITECTURES = ("sm86", "sm89", "sm120")
SCRIPT = os.environ.get("CLAVILUX_TRT_AOT", "")

pytestmark = [
    pytest.mark.skipif(
        not SCRIPT, reason="set CLAVILUX_TRT_AOT to a script that compiles engines ahead of time: see this file"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec(PLUGIN) is None, reason="needs the plugin: pip install 'clavilux[tensorrt-rtx]'"
    ),
]

# What a user's machine does, in a process whose driver and PCI bus are stand-ins
COMPILE = """
import sys
from pathlib import Path
from clavilux.runtime.providers.session import GraphFile
from clavilux.runtime.providers.nvidia.tensorrt_rtx import compile_graph, find_ep_device, target_of
device = find_ep_device()
compile_graph(GraphFile(Path(sys.argv[1])), Path(sys.argv[2]), device)
print(target_of(device).architecture)
"""
ONE_CARD = {"vendor": "0x10de", "device": "0x2684", "class": "0x030000", "subsystem_vendor": "0x10de"}
PCI = "/sys/bus/pci/devices"


def operators(graph: Path) -> list[str]:
    return [node.op_type for node in onnx.load(graph, load_external_data=False).graph.node]


def run(*words: object, **environment: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [str(word) for word in words],
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compiled(bundle: Path, name: str, architecture: str, folder: Path) -> list[str]:
    """Compile a bundle's graph, with the profile that the instrument would ask for; return the result's operators."""
    graph = graph_file(Bundle.open(bundle), name)
    open_axes = replace(graph, axes={})  # which the script cannot close
    words = [f"{option}={value}" for option, value in profile_settings("nv", open_axes).items()]
    run(SCRIPT, graph.path, folder / "engine.onnx", architecture, *words)
    return operators(folder / "engine.onnx")


@pytest.fixture(scope="module")
def half_bundle(tiny_checkpoints: Path) -> Path:
    """Float16 arithmetic, as a GPU wants it, with what it cannot hold in float32."""
    from clavilux.export.build import export_bundle
    from tests.tiny import tiny_options, tiny_sources

    options = replace(tiny_options("half"), arithmetic="float16", guidance=GuidanceSpec("once", 2.0))
    return export_bundle(tiny_sources(tiny_checkpoints), tiny_checkpoints / "half", options).folder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", GRAPHS)
def test_each_float16_graph_becomes_one_engine(half_bundle: Path, tmp_path: Path, name: str, architecture: str) -> None:
    assert compiled(half_bundle, name, architecture, tmp_path) == ["EPContext"]


@pytest.mark.parametrize("name", GRAPHS)
def test_each_float32_graph_becomes_one_engine(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    assert compiled(tiny_bundle, name, "sm89", tmp_path) == ["EPContext"]


@pytest.mark.parametrize("name", GRAPHS)
def test_each_graph_of_many_sizes_becomes_one_engine(flexible_bundle: Path, tmp_path: Path, name: str) -> None:
    assert compiled(flexible_bundle, name, "sm120", tmp_path) == ["EPContext"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("graph", [START, WARP], ids=["start", "warp"])
def test_the_graphs_that_begin_a_picture_become_one_engine_for_latents_of_any_size(
    tmp_path: Path, architecture: str, graph: GraphFile
) -> None:
    words = [f"{option}={value}" for option, value in profile_settings("nv", graph).items()]
    run(SCRIPT, graph.path, tmp_path / "engine.onnx", architecture, *words)
    assert operators(tmp_path / "engine.onnx") == ["EPContext"]


def test_our_own_build_makes_one_engine_too(tiny_bundle: Path, tmp_path: Path) -> None:
    stubs = Path(SCRIPT).with_name("stubs.py")
    if not stubs.is_file() or os.geteuid() != 0:
        pytest.skip(f"needs {stubs.name} beside the script, and root for a mount that no one else sees")
    run(sys.executable, stubs, tmp_path)
    card = tmp_path / "pci" / "0000:01:00.0"
    card.mkdir(parents=True)
    for field, value in ONE_CARD.items():
        (card / field).write_text(value + "\n")
    inside = f'mount --bind "$1" {PCI} && shift && exec "$@"'
    command = [sys.executable, "-c", COMPILE, tiny_bundle / DENOISER, tmp_path / "engine.onnx"]
    said = run("unshare", "-m", "bash", "-c", inside, "_", card.parent, *command, LD_LIBRARY_PATH=str(tmp_path))
    assert said.split()[-1] == "sm89"
    assert operators(tmp_path / "engine.onnx") == ["EPContext"]
