"""The same picture on two stacks, by turns, and what is said of those that cannot take part."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from safetensors.numpy import save_file

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.in_process import Setting
from clavilux.benchmarks.measurements.percentiles import WarmUp
from clavilux.benchmarks.peers.compare import EQUAL_DB, Experiment, _Round, compare, judge, psnr, write_inputs
from clavilux.benchmarks.peers.exported import numbered
from clavilux.benchmarks.peers.process import OURS, PEERS, Painted, PeerError
from clavilux.benchmarks.peers.pytorch import Torch
from clavilux.benchmarks.peers.wanted import SharedWeights, Wanted
from clavilux.benchmarks.peers.weights import PARTS, gathered, given
from clavilux.benchmarks.peers.worker import Job
from clavilux.export.models.decoder import DecoderGraph
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.training.lumia.models import autoencoder

SETTING = Setting(64, 64, 1)
WARMED = WarmUp(10, 1.0, stable=True)


def silent(_: str) -> None:
    return


def painted(seconds: float, features: float = 0.001) -> Painted:
    return Painted({"features": features, "encode": seconds, "denoise": 2 * seconds, "decode": seconds}, 100.0)


def test_the_ratio_leaves_features_out_and_the_whole_does_not():
    found = judge(SETTING, "peer", [painted(0.2, 0.8)] * 3, [painted(0.1, 1e-9)] * 3, (50.0, 1.0, WARMED))
    assert found.ratio.value == pytest.approx(2.0)
    assert found.whole.value == pytest.approx(4.0)
    assert found.stages["denoise"].value == pytest.approx(2.0)
    assert (found.stage_ms["denoise"], found.our_stage_ms["denoise"]) == (400.0, 200.0)


@pytest.mark.parametrize(("closeness", "equal"), [(EQUAL_DB, True), (EQUAL_DB - 0.1, False)])
def test_pictures_are_equal_from_the_gate_on(closeness: float, equal: bool):
    found = judge(SETTING, "peer", [painted(0.2)], [painted(0.1)], (closeness, 1.0, WARMED))
    assert found.equal is equal


def picture(path: Path, level: int, side: int = 4) -> Path:
    np.save(path, np.full((side, side, 3), level, np.uint8))
    return path


def test_psnr_of_pictures_on_disk(tmp_path: Path):
    one, same, off, small = (
        picture(tmp_path / f"{i}.npy", *what) for i, what in enumerate([(9,), (9,), (10,), (9, 2)])
    )
    assert psnr(one, same) == 120.0
    assert psnr(one, off) == pytest.approx(48.1, abs=0.1)
    assert psnr(one, small) == 0.0


def test_everyone_begins_with_the_same(tiny_bundle: Path, tmp_path: Path):
    bundle = Bundle.open(tiny_bundle)
    first, again = (write_inputs(bundle, SETTING, folder) for folder in (tmp_path, tmp_path))
    with np.load(first) as one, np.load(again) as other:
        assert one["latents"].shape == (1, 4, 8, 8)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def plan(weights: SharedWeights, work: Path, *peers: str) -> Experiment:
    return Experiment(
        weights=weights,
        peers=peers,
        pythons={},
        python=Path(sys.executable),
        settings=(SETTING,),
        rounds=2,
        device="cpu",
        threads=1,
        work=work,
    )


def test_torch_paints_the_picture_that_clavilux_paints(tiny_checkpoints: Path, tiny_bundle: Path, tmp_path: Path):
    weights = given(tiny_checkpoints, tiny_bundle, Wanted(), tmp_path, silent)
    found = compare(plan(weights, tmp_path / "work", "torch", "optimum"), silent)
    (one,) = found.compared
    assert (one.peer, one.picture.count, one.ours.count) == ("PyTorch eager", 2, 2)
    assert one.psnr_db >= EQUAL_DB
    assert one.ratio.value > 0
    assert set(found.loaded) == {"Clavilux", "PyTorch eager"}
    assert "--peer-python optimum=PEER/bin/python" in found.failed["optimum, ONNX Runtime"]


@pytest.mark.parametrize(("device", "notes"), [("cpu", ()), ("openvino", ()), ("openvino:CPU:BF16", ("bfloat16",))])
def test_torch_takes_the_arithmetic_of_clavilux(
    tiny_checkpoints: Path, tiny_bundle: Path, tmp_path: Path, device: str, notes: tuple[str, ...]
):
    weights, peer = given(tiny_checkpoints, tiny_bundle, Wanted(), tmp_path, silent), Torch()
    peer.load(Job(weights.checkpoints, weights.bundle, device, 1))
    assert peer.notes[1:] == notes
    kinds = {str(weight.dtype) for weight in peer._pipeline.unet.parameters()}
    assert kinds == {"torch.bfloat16" if notes else "torch.float32"}


def test_torch_puts_blocks_of_pixels_where_the_bundle_puts_them():
    torch.manual_seed(1)
    vae, latents, peer = autoencoder.build(8).eval(), torch.randn(1, 12, 4, 7), Torch()
    peer._torch, peer._pipeline = torch, SimpleNamespace(vae=vae, image_processor=VaeImageProcessor())
    with torch.inference_mode():
        ours = DecoderGraph(vae)(latents)[0].numpy()
    assert ours.shape == (64, 112, 3)
    assert np.abs(peer.decode(latents).astype(int) - ours).max() <= 1


class Dying:
    """A peer that paints a few times and then does no more."""

    def __init__(self, name: str, left: int) -> None:
        self.contender = PEERS.get(name, OURS)
        self.left = left

    def paint(self, inputs: Path, steps: int, out: Path | None = None) -> Painted:
        if not self.left:
            raise PeerError("it ended: out of memory")
        self.left -= 1
        if out:
            picture(out, 9)
        return painted(0.1)


@pytest.mark.parametrize("left", [0, 15])
def test_a_peer_that_dies_is_named_and_the_others_go_on(tmp_path: Path, left: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("clavilux.benchmarks.peers.compare.WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(
        "clavilux.benchmarks.peers.compare.alternate", lambda runs, _: [run() for run in [*runs.values()] * 20]
    )
    peers = {"clavilux": Dying("clavilux", 99), "torch": Dying("torch", 99), "optimum": Dying("optimum", left)}
    found, stopped = _Round(SETTING, tmp_path, plan(SharedWeights(tmp_path, tmp_path), tmp_path), peers).run()
    assert [one.peer for one in found] == ["PyTorch eager"]
    assert stopped == {"optimum": "it ended: out of memory"}


def test_clavilux_itself_may_not_die(tmp_path: Path):
    peers = {"clavilux": Dying("clavilux", 0)}
    with pytest.raises(PeerError, match="out of memory"):
        _Round(SETTING, tmp_path, plan(SharedWeights(tmp_path, tmp_path), tmp_path), peers).run()


def test_a_layout_that_is_missing_is_named(tiny_checkpoints: Path, tiny_bundle: Path, tmp_path: Path):
    weights = given(tiny_checkpoints, tiny_bundle, Wanted(), tmp_path, silent)
    wanted = plan(weights, tmp_path / "work", "optimum")
    found = compare(Experiment(**{**vars(wanted), "pythons": {"optimum": Path(sys.executable)}}), silent)
    assert found.failed == {
        "optimum, ONNX Runtime": "the bundle has no diffusers/; export it again with --layout diffusers"
    }


def test_checkpoints_side_by_side_are_taken_as_they_lie(tmp_path: Path):
    for name in PARTS:
        (tmp_path / name).mkdir()
    assert gathered(tmp_path, tmp_path / "links") == tmp_path


def test_a_pipelines_parts_are_gathered(tiny_checkpoints: Path, tmp_path: Path):
    folder = gathered(tiny_checkpoints, tmp_path / "links")
    assert folder == tmp_path / "links"
    assert all((folder / name).is_dir() for name in (*PARTS, "text_encoder"))
    assert gathered(tiny_checkpoints, tmp_path / "links") == folder  # again


def test_a_part_that_is_missing_is_named(tmp_path: Path):
    (tmp_path / "encoder").mkdir()
    with pytest.raises(BenchError, match=r"hold no unet/; expected encoder/, unet/, vae/, scheduler/"):
        gathered(tmp_path, tmp_path / "links")


def test_concepts_of_checkpoints_are_numbered(tmp_path: Path):
    file = tmp_path / "conditioning.safetensors"
    assert numbered(file) == ()
    save_file({"bos": np.zeros(8, np.float32)}, file)
    assert numbered(file) == ()
    save_file({"concepts": np.zeros((3, 7, 8), np.float32)}, file)
    assert numbered(file) == ("concept 0", "concept 1", "concept 2")


def test_weights_without_torch_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "clavilux.benchmarks.peers.exported", None)
    for name in PARTS:
        (tmp_path / name).mkdir()
    with pytest.raises(BenchError, match=r"is not installed; run: pip install 'clavilux\[bench,cpu,export\]'"):
        given(tmp_path, None, Wanted(), tmp_path, silent)
