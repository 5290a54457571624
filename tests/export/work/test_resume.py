"""Phases that a stopped export finds again, and those that it makes anew."""

import json
from pathlib import Path

import numpy as np
import pytest

from clavilux.export.proof import Proof
from clavilux.export.work.resume import Arrays, FinishedPhases, fingerprint, peak_memory, state_of
from clavilux.runtime.bundle.manifest import ArithmeticChoice, KeptOperators, ParityFigure

PROOF = Proof(
    [ParityFigure("unet", "cosine", 0.999, 0.99)],
    [KeptOperators("unet", "Sin, Cos", 2, "phases")],
    [ArithmeticChoice("unet", "int8", "faster")],
)
ARRAYS = {"latents": np.arange(6, dtype=np.float32).reshape(2, 3)}


class Work:
    """An export's folders and what it did in them."""

    def __init__(self, folder: Path) -> None:
        self.bundle, self.folder = folder / "bundle", folder / "finished"
        self.bundle.mkdir()
        self.folder.mkdir()
        self.made: list[str] = []
        self.told: list[str] = []

    def phases(self, key: str = "key") -> FinishedPhases:
        return FinishedPhases(self.folder, self.bundle, key, self.told.append)

    def run(self, name: str = "unet", key: str = "key", phases: FinishedPhases | None = None) -> Arrays:
        """Run a phase that writes a graph with weights beside it."""

        def make(proof: Proof) -> Arrays:
            self.made.append(name)
            (self.bundle / f"{name}.onnx").write_bytes(b"graph")
            (self.bundle / f"{name}.onnx.data").write_bytes(b"weights")
            for kind in ("figures", "kept", "choices"):
                getattr(proof, kind).extend(getattr(PROOF, kind))
            return ARRAYS

        return (phases or self.phases(key)).phase(name, make, [f"{name}.onnx", "words.json"])


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_a_finished_phase_is_not_made_again(work: Work):
    work.run()
    work.run()
    assert work.made == ["unet"]
    assert work.told == ["unet: finished earlier, in 0 s"]


def test_a_finished_phase_gives_its_arrays_again(work: Work):
    work.run()
    np.testing.assert_array_equal(work.run()["latents"], ARRAYS["latents"])


def test_a_finished_phase_brings_its_proof_and_its_files_again(work: Work):
    first = work.phases()
    work.run(phases=first)
    second = work.phases()
    work.run(phases=second)
    assert second.phases["unet"].proof == first.phases["unet"].proof == PROOF
    assert second.phases["unet"].files == first.phases["unet"].files
    assert set(second.phases["unet"].files) == {"unet.onnx", "unet.onnx.data"}


def test_a_phase_may_have_no_arrays(work: Work):
    for _ in range(2):
        assert work.phases().phase("decoder", lambda _: {}, []) == {}
    assert work.told == ["decoder: finished earlier, in 0 s"]


def test_another_key_makes_it_anew(work: Work):
    work.run()
    work.run(key="other")
    assert work.made == ["unet", "unet"]


def spoil_file(work: Work) -> None:
    (work.bundle / "unet.onnx.data").write_bytes(b"wEights")


def lose_file(work: Work) -> None:
    (work.bundle / "unet.onnx").unlink()


def spoil_arrays(work: Work) -> None:
    path = work.folder / "unet.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def lose_arrays(work: Work) -> None:
    (work.folder / "unet.safetensors").unlink()


def cut_record(work: Work) -> None:
    record = work.folder / "unet.json"
    record.write_text(record.read_text()[:40])


def old_record(work: Work) -> None:
    record = work.folder / "unet.json"
    found = json.loads(record.read_text())
    del found["data"]["peak"]
    record.write_text(json.dumps(found))


@pytest.mark.parametrize("damage", [spoil_file, lose_file, spoil_arrays, lose_arrays, cut_record, old_record])
def test_what_is_not_as_it_was_recorded_is_made_anew(work: Work, damage):
    work.run()
    damage(work)
    work.run()
    assert work.made == ["unet", "unet"]
    assert work.run()["latents"].shape == (2, 3)


def test_a_phase_that_was_stopped_has_no_record(work: Work):
    def stopped(_: Proof) -> Arrays:
        (work.bundle / "unet.onnx").write_bytes(b"gra")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work.phases().phase("unet", stopped, ["unet.onnx"])
    work.run()
    assert work.made == ["unet"]


def test_what_a_stopped_phase_left_half_made_is_thrown_away(work: Work):
    work.run()
    (work.bundle / "decoder.onnx.data").write_bytes(b"half")
    work.phases()
    assert {path.name for path in work.bundle.iterdir()} == {"unet.onnx", "unet.onnx.data"}


def test_files_of_other_options_do_not_get_into_the_bundle(work: Work):
    work.run("words", key="with words")
    work.run(key="without words")
    assert {path.name for path in work.bundle.iterdir()} == {"unet.onnx", "unet.onnx.data"}


def test_a_phase_may_fill_a_folder(work: Work):
    def make(_: Proof) -> Arrays:
        work.made.append("layout")
        (work.bundle / "onnx" / "unet").mkdir(parents=True, exist_ok=True)
        (work.bundle / "onnx" / "unet" / "model.onnx").write_bytes(b"graph")
        return {}

    for _ in range(2):
        phases = work.phases()
        phases.phase("layout", make, ["onnx"])
        assert list(phases.phases["layout"].files) == ["onnx/unet/model.onnx"]
    assert work.made == ["layout"]
    (work.bundle / "onnx" / "unet" / "model.onnx").write_bytes(b"Graph")
    work.phases().phase("layout", make, ["onnx"])
    assert work.made == ["layout", "layout"]


def test_a_fingerprint_tells_any_fact_apart(tmp_path: Path):
    facts = [{"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, {"a": [1]}, {"a": tmp_path}, {}]
    assert len({fingerprint(one) for one in facts}) == len(facts)


def test_a_fingerprint_does_not_depend_on_the_order():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_a_checkpoints_state_changes_with_its_files(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights").write_bytes(b"one")
    before = state_of(tmp_path)
    assert state_of(tmp_path) == before
    (tmp_path / "deep" / "weights").write_bytes(b"more")
    after = state_of(tmp_path)
    assert [(name, size) for name, size, _ in after] == [("weights", 4)]
    assert after != before


def test_a_single_file_has_a_state_and_a_hub_name_has_none(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"12345")
    assert state_of(tmp_path / "file")[0][:2] == ("file", 5)
    assert state_of("someone/model") == []


def test_the_memory_held_so_far_is_more_than_nothing():
    assert peak_memory() > 2**20
