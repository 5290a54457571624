"""Bundles that are made of given checkpoints, and taken again while they are as they were."""

from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.benchmarks.peers import exported
from clavilux.benchmarks.peers.exported import given_weights
from clavilux.benchmarks.peers.weights import Wanted

WANTED = Wanted(sizes=((64, 64),), steps=2)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The bundles that were exported: each a folder with a manifest alone."""
    bundles: list[Path] = []

    def export(_sources: object, out: Path, _options: object, _progress: object) -> None:
        bundles.append(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "bundle.json").write_text(f"manifest {len(bundles)}")

    monkeypatch.setattr(exported, "export_bundle", export)
    return bundles


def bundle(folder: Path, wanted: Wanted = WANTED) -> Path:
    return given_weights(folder / "checkpoints", "given", wanted, folder / "bundles", lambda _: None)


def test_a_bundle_that_was_made_before_is_taken_again(tmp_path: Path, made: list[Path]) -> None:
    assert bundle(tmp_path) == bundle(tmp_path) == tmp_path / "bundles" / "64x64"
    assert len(made) == 1


def test_other_steps_make_it_anew(tmp_path: Path, made: list[Path]) -> None:
    bundle(tmp_path)
    bundle(tmp_path, replace(WANTED, steps=3))
    assert len(made) == 2


def test_a_bundle_that_changed_since_is_made_anew(tmp_path: Path, made: list[Path]) -> None:
    (bundle(tmp_path) / "bundle.json").write_text("manifest of something else")
    bundle(tmp_path)
    assert len(made) == 2


def test_other_checkpoints_make_it_anew(tmp_path: Path, made: list[Path]) -> None:
    bundle(tmp_path)
    given_weights(tmp_path / "others", "given", WANTED, tmp_path / "bundles", lambda _: None)
    assert len(made) == 2
