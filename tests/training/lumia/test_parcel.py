"""A parcel brings home what is finished, in few small files, rounded to float16 once and otherwise as it was."""

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia import parcel
from clavilux.training.lumia.models.train_loop import Recipe, train, trained
from clavilux.training.lumia.parcel import MAX_FILES, unwrap, wrap
from clavilux.training.lumia.phases import PhaseRunner, TimeUpError

RECIPE = Recipe(steps=4, rate=1e-2, average=0.5, checkpoint=2)


def finished(work: Path, *phases: str) -> Path:
    """Make a work folder in which some phases are done, each with a model of its own."""
    runner = PhaseRunner(work)
    for name in phases:
        runner.run(name, lambda name=name: product(work, parcel.PRODUCTS[name][0]))
    return work


def product(work: Path, name: str) -> None:
    folder = work / name
    if folder.suffix:
        save_file(weights(), folder)
        return
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"of": name}))
    save_file(weights(), folder / "model.safetensors", {"format": "pt"})


def weights(count: int = 300) -> dict[str, torch.Tensor]:
    dice = torch.Generator().manual_seed(count)
    return {"weight": torch.randn(count, generator=dice), "steps": torch.tensor([7])}


def line(checkpoint: Path, recipe: Recipe = RECIPE) -> nn.Module:
    model = nn.Linear(3, 1)
    return train(model, lambda step: model(torch.ones(1, 3)).sum().pow(2), recipe, checkpoint)


def test_what_is_finished_comes_home_rounded_once(tmp_path: Path) -> None:
    work = finished(tmp_path / "work", "words", "practice", "conditioning")
    wrap(work, tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    found = load_file(tmp_path / "home" / "encoder" / "model.safetensors")
    assert found["weight"].dtype == torch.float32
    assert torch.equal(found["weight"], weights()["weight"].half().float())
    assert torch.equal(found["steps"], weights()["steps"])
    assert (tmp_path / "home" / "encoder" / "config.json").read_text() == '{"of": "encoder"}'
    assert (tmp_path / "home" / "conditioning.safetensors").is_file()


def test_at_home_what_was_finished_is_done_and_in_the_same_order(tmp_path: Path) -> None:
    work = finished(tmp_path / "work", "practice", "words")
    wrap(work, tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    home = PhaseRunner(tmp_path / "home")
    home.run("words", pytest.fail)
    assert home.times() == PhaseRunner(work).times()
    assert list(home.times()) == ["practice", "words"]


def test_data_stay_where_they_are(tmp_path: Path) -> None:
    work = finished(tmp_path / "work", "words")
    for name in ("data", "heard", "latents"):
        PhaseRunner(work).run(name, lambda name=name: (work / f"{name}.safetensors").write_bytes(b"much"))
    wrap(work, tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    assert list(PhaseRunner(tmp_path / "home").times()) == ["words"]


def test_the_ear_s_averaged_weights_come_along_for_practice(tmp_path: Path) -> None:
    work = finished(tmp_path / "work", "ear")
    model = line(work / "ear.pt")
    wrap(work, tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    found = trained(tmp_path / "home" / "ear.pt")
    assert torch.equal(found["weight"], model.weight.detach().half().float())
    assert (tmp_path / "home" / "ear.pt").stat().st_size < (work / "ear.pt").stat().st_size


def test_an_unfinished_phase_ends_at_home_as_if_it_had_stayed(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    torch.manual_seed(0)
    whole = line(tmp_path / "whole.pt")
    torch.manual_seed(0)
    with pytest.raises(TimeUpError):
        line(tmp_path / "work" / "maker.pt", Recipe(**(vars(RECIPE) | {"deadline": 0.0})))
    wrap(tmp_path / "work", tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    assert torch.equal(line(tmp_path / "home" / "maker.pt").weight, whole.weight)


def test_what_has_no_room_is_left_out_and_said_the_least_wanted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work = finished(tmp_path / "work", "words", "maker")
    save_file(weights(40_000), work / "maker" / "model.safetensors")
    monkeypatch.setattr(parcel, "PART_BYTES", 5_000)
    caplog.set_level(logging.WARNING)
    wrap(work, tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    assert list(PhaseRunner(tmp_path / "home").times()) == ["words"]
    assert "maker is left out of the parcel: 0.1 MB, for which there is no room" in caplog.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=9))
def test_files_are_few_and_small_whatever_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: list[int]
) -> None:
    monkeypatch.setattr(parcel, "PART_BYTES", 20_000)
    work = tmp_path / f"work-{'-'.join(map(str, counts))}"
    for name, count in zip(parcel.PRODUCTS, counts, strict=False):
        if not (work / f"{name}.done.json").exists():
            finished(work, name)
            place = work / parcel.PRODUCTS[name][0]
            save_file(weights(count), place if place.suffix else place / "model.safetensors")
    files = wrap(work, tmp_path / "parcel")
    assert len(files) <= MAX_FILES
    assert all(one.stat().st_size <= 20_000 for one in files)
    unwrap(tmp_path / "parcel", tmp_path / "home")


def test_a_damaged_part_is_named_and_nothing_is_unwrapped(tmp_path: Path) -> None:
    wrap(finished(tmp_path / "work", "words"), tmp_path / "parcel")
    part = tmp_path / "parcel" / "parcel.000"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ClaviluxError, match=r"parcel is damaged: parcel\.000 differs from its record; fetch it again"):
        unwrap(tmp_path / "parcel", tmp_path / "home")
    part.unlink()
    with pytest.raises(ClaviluxError, match=r"parcel\.000 is missing"):
        unwrap(tmp_path / "parcel", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_what_is_no_parcel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaviluxError, match=r"is no parcel .*; expected the folder that `make --set` wrote"):
        unwrap(tmp_path, tmp_path / "home")
    (tmp_path / "parcel.json").write_text(json.dumps({"key": ["another"]}))
    with pytest.raises(ClaviluxError, match="of another version"):
        unwrap(tmp_path, tmp_path / "home")


def test_nothing_finished_is_an_empty_parcel(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    wrap(tmp_path / "work", tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []
