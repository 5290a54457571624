"""A parcel brings home what is finished, in few small files, rounded to float16 once and otherwise as it was."""

import io
import json
import logging
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import Record, describe_files
from clavilux.training.lumia import parcel
from clavilux.training.lumia.models import bundled_ear
from clavilux.training.lumia.models.train_loop import Recipe, train, trained
from clavilux.training.lumia.parcel import MAX_FILES, unwrap, wrap
from clavilux.training.lumia.phases import PhaseRunner, TimeUpError, done_record

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


def saved(found: object) -> bytes:
    file = io.BytesIO()
    torch.save(found, file)
    return file.getvalue()


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
    order = ["practice", "conditioning", "words", "judge"]  # neither the alphabet's nor the parcel's own, nor backwards
    work = finished(tmp_path / "work", *order)
    for i, name in enumerate(order):
        os.utime(done_record(work, name), (1_700_000_000 + i, 1_700_000_000 + i))
    wrap(work, tmp_path / "parcel")
    unwrap(tmp_path / "parcel", tmp_path / "home")
    home = PhaseRunner(tmp_path / "home")
    home.run("words", pytest.fail)
    assert home.times() == PhaseRunner(work).times()
    assert list(home.times()) == order
    assert [done_record(home.folder, name).stat().st_mtime for name in order] == [1_700_000_000 + i for i in range(4)]


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
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
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


@pytest.mark.parametrize(
    ("name", "content", "damage"),
    [
        ("../words.done.json", b"{}", "'../words.done.json' would be extracted to "),
        ("encoder/model.safetensors", b"no weights at all", "model.safetensors holds no weights"),
        ("ear.pt", b"", "ear.pt holds no weights"),
        ("ear.pt", b"no checkpoint", "ear.pt holds no weights"),
        ("ear.pt", b"PK\x03\x04", "ear.pt holds no weights"),
        ("ear.pt", pickle.dumps({"average": Path()}), "ear.pt holds no weights"),
        ("ear.pt", saved({"average": {"weight": 1}}), "ear.pt holds no weights"),
        ("ear.pt", saved({"model": {}}), "ear.pt holds no weights"),
        ("ear.pt", saved(7), "ear.pt holds no weights"),
    ],
)
def test_a_forged_parcel_is_refused_in_a_line_and_nothing_is_unwrapped(
    tmp_path: Path, name: str, content: bytes, damage: str
) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    assert refusal(forged(tmp_path / "parcel", entry, content)).startswith(damage)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "home", tmp_path / "parcel"]
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize(
    ("target", "damage"),
    [("/etc", "'words' is a link to an absolute path"), ("../../elsewhere", "'words' would link to ")],
)
def test_a_forged_link_is_refused(tmp_path: Path, target: str, damage: str) -> None:
    entry = tarfile.TarInfo("words")
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    assert refusal(forged(tmp_path / "parcel", entry)).startswith(damage)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "parcel").mkdir()
    (tmp_path / "parcel" / "parcel.000").write_bytes(b"no archive" * 100)
    signed(tmp_path / "parcel")
    assert refusal(tmp_path / "parcel") == "invalid header"


def test_a_file_from_the_root_lands_in_the_work_folder(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("/judge.json")
    unwrap(forged(tmp_path / "parcel", entry), tmp_path / "home")
    assert (tmp_path / "home" / "judge.json").is_file()


def forged(folder: Path, entry: tarfile.TarInfo, content: bytes = b"") -> Path:
    """Make a parcel of one entry, whose hashes are right."""
    folder.mkdir()
    with tarfile.open(folder / "parcel.000", "w") as archive:
        archive.addfile(entry, io.BytesIO(content))
    return signed(folder)


def signed(folder: Path) -> Path:
    Record(parcel.KEY, describe_files(folder, [folder / "parcel.000"])).write(folder / parcel.INDEX)
    return folder


def refusal(found: Path) -> str:
    """Return what is damaged of a parcel, as its one line says."""
    with pytest.raises(ClaviluxError) as caught:
        unwrap(found, found.parent / "home")
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.startswith(f"{found} is damaged: ")
    assert line.endswith("; fetch it again")
    return line.removeprefix(f"{found} is damaged: ").removesuffix("; fetch it again")


def test_what_is_finished_at_home_is_not_overwritten(tmp_path: Path) -> None:
    wrap(finished(tmp_path / "work", "words", "practice", "conditioning"), tmp_path / "parcel")
    home = finished(tmp_path / "home", "words", "practice", "maker")
    there = {path: path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}
    with pytest.raises(ClaviluxError) as caught:
        unwrap(tmp_path / "parcel", home)
    assert str(caught.value) == (
        f"{home} has finished what {tmp_path / 'parcel'} brings too (words.done.json, practice.done.json); "
        "unwrap it into another folder, or delete these records first, to have it overwritten"
    )
    assert {path: path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()} == there
    for name in ("words", "practice"):
        done_record(home, name).unlink()
    unwrap(tmp_path / "parcel", home)
    assert set(PhaseRunner(home).times()) == {"words", "practice", "maker", "conditioning"}


def test_a_checkpoint_does_not_overwrite_what_is_finished_at_home(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with pytest.raises(TimeUpError):
        line(tmp_path / "work" / "ear.pt", Recipe(**(vars(RECIPE) | {"deadline": 0.0})))
    wrap(tmp_path / "work", tmp_path / "parcel")
    home = finished(tmp_path / "home", "ear")
    line(home / "ear.pt")
    before = (home / "ear.pt").read_bytes()
    with pytest.raises(ClaviluxError, match=r"brings too \(ear\.done\.json\)"):
        unwrap(tmp_path / "parcel", home)
    assert (home / "ear.pt").read_bytes() == before


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


def test_only_a_parcel_is_replaced(tmp_path: Path) -> None:
    (precious := tmp_path / "work" / "ear.pt").parent.mkdir()
    precious.touch()
    for _ in range(2):
        parcel.wrap(precious.parent, tmp_path / "parcel")
    for place in (precious.parent, tmp_path, precious):
        with pytest.raises(
            ClaviluxError, match="is there and no parcel; expected a new folder, or a parcel to replace"
        ):
            parcel.wrap(precious.parent, place)
    assert precious.exists()


def test_where_an_ear_began_comes_along_with_it(tmp_path: Path, capsys, monkeypatch) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    (work / bundled_ear.NOTE).write_text("trained on from lumia's, SHA-256 0123")
    (work / "ear.done.json").write_text('{"wall": 1.0, "processor": 1.0}')
    parcel.wrap(work, tmp_path / "parcel")
    monkeypatch.setattr("sys.argv", ["parcel", str(tmp_path / "parcel"), str(home)])
    parcel.main()
    assert (home / bundled_ear.NOTE).read_text() == "trained on from lumia's, SHA-256 0123"
    assert capsys.readouterr().out.endswith("--out BUNDLE --ear OLD\n")


def test_latents_of_another_codec_are_made_again(tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    for folder in (work / "vae_first", home / "scenes"):
        folder.mkdir(parents=True)
    (work / "vae_first" / "config.json").write_text("{}")
    (work / "codec.done.json").write_text('{"wall": 1.0, "processor": 1.0}')
    kept, stale = home / "scenes" / "pictures-16x16-000000-000050.npy", home / "scenes" / "latents-16x16-000000-000050"
    for one in (kept, stale, home / "scenes.done.json"):
        one.write_text("old")
    parcel.wrap(work, tmp_path / "parcel")
    parcel.unwrap(tmp_path / "parcel", home)
    assert [one.exists() for one in (kept, stale, home / "scenes.done.json")] == [True, False, False]
