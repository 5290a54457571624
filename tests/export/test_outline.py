"""The outline of an export: what is told before the long work, and that a dry run makes nothing."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.export.build import dry_run, export_bundle, room_needed
from clavilux.export.checkpoints.load import Lora, Sources
from clavilux.export.checkpoints.weights import StoredWeights
from clavilux.export.outline import estimate, outline
from clavilux.export.plan import make_plan
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import BRANCH, OTHER_COMMIT, FakeHub, serving, use_cache
from tests.tiny import tiny_options, tiny_sources


def rows(text: str) -> dict[str, str]:
    """Return what the outline says, by its first column."""
    return {line[:14].strip(): line[14:] for line in text.splitlines()}


def told(checkpoints: Path, **options: object) -> dict[str, str]:
    return rows(outline(make_plan(tiny_sources(checkpoints), replace(tiny_options(), **options)), 3_000_000_000))


def test_each_part_is_told_with_its_weights(tiny_checkpoints: Path):
    found = told(tiny_checkpoints)
    assert list(found) == [
        *("encoder", "text encoder", "unet", "vae"),
        *("family", "scheduler", "pictures", "sound", "arithmetic", "work"),
    ]
    assert found["encoder"].startswith("encoder: model.safetensors, 0.")
    assert found["encoder"].endswith(" MB")


def test_family_schedule_size_and_window_are_told(tiny_checkpoints: Path):
    found = told(tiny_checkpoints, steps=2)
    assert found["family"] == "of its own, tokens 32 wide; predicts v_prediction"
    assert found["scheduler"] == "euler; 2 steps at 999, 499"
    assert found["pictures"] == "64x64; guidance none"
    assert found["sound"] == "windows of 2 s, a hop of 0.1 s, 25 tokens and BOS; before a sound nothing, behind it 0"
    assert found["arithmetic"] == "float32, weights in float16"


def test_many_timesteps_are_told_by_their_ends(tiny_checkpoints: Path):
    found = told(tiny_checkpoints, steps=50, guidance=GuidanceSpec("classic", 7.5), sizes=(64, 128), batch=4)
    assert found["scheduler"] == "euler; 50 steps at 999, 979, 959, 939, ..., 19"
    assert found["pictures"] == "64x64, sides from 64 to 128, 4 at once; guidance classic of 7.5"


def test_what_the_work_takes_grows_with_weights_and_pictures(tiny_checkpoints: Path):
    sources = tiny_sources(tiny_checkpoints)
    plan = make_plan(sources, tiny_options())
    large = make_plan(sources, replace(tiny_options(), picture=(128, 128)))
    assert estimate(large, {}, 0).seconds == 4 * estimate(plan, {}, 0).seconds
    assert told(tiny_checkpoints)["work"].endswith(" of memory, 3.0 GB of disk")


def test_an_export_of_the_usual_size_is_told_as_it_was_measured(tiny_checkpoints: Path):
    """The export of docs/export.md took 683 s and 8.7 GB."""
    plan = make_plan(tiny_sources(tiny_checkpoints), replace(tiny_options(), picture=(512, 512)))
    sizes = {"encoder": 606e6, "text encoder": 340e6, "unet": 866e6, "vae": 84e6}
    weights = {role: StoredWeights("", 0, 1, int(count), "") for role, count in sizes.items()}
    found = estimate(plan, weights, 0)
    assert found.seconds == pytest.approx(683, rel=0.02)
    assert found.memory == pytest.approx(8.7e9, rel=0.02)


def test_a_dry_run_makes_nothing(tiny_checkpoints: Path, tmp_path: Path):
    found = rows(dry_run(tiny_sources(tiny_checkpoints), tmp_path / "bundle", tiny_options()))
    assert found["unet"].startswith("unet: diffusion_pytorch_model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_names_on_the_hub_fetches_no_weights(
    tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, folder in (("me/encoder", "encoder"), ("me/pipeline", "pipeline")):
        (tmp_path / "served" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "served" / name).symlink_to(tiny_checkpoints / folder)
    use_cache(tmp_path / "cache", monkeypatch, offline=False)
    sources = Sources.from_pipeline("me/encoder", "me/pipeline")
    with serving(FakeHub(tmp_path / "served"), monkeypatch) as hub:
        found = rows(dry_run(sources, tmp_path / "bundle", tiny_options()))
    assert found["unet"].startswith("me/pipeline/unet: diffusion_pytorch_model.safetensors, 0.")
    assert not any(path.endswith(".safetensors") for path in hub.asked)


def test_the_disk_is_told_of_what_is_not_fetched_yet(
    tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "served" / "me").mkdir(parents=True)
    for name in ("encoder", "pipeline"):
        (tmp_path / "served" / "me" / name).symlink_to(tiny_checkpoints / name)
    use_cache(tmp_path / "cache", monkeypatch, offline=False)
    with serving(FakeHub(tmp_path / "served"), monkeypatch):
        asked = room_needed(Sources.from_pipeline("me/encoder", "me/pipeline"), tiny_options())
    assert asked == room_needed(tiny_sources(tiny_checkpoints), tiny_options())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lora": (Lora("nowhere/lora.safetensors"),)}, "lora nowhere/lora.safetensors"),
        ({"lora": (Lora("nowhere/lora.safetensors", float("nan")),)}, "has the scale nan; expected a finite number"),
        ({"variant": "fp15"}, "no checkpoint has weights of the variant 'fp15'"),
    ],
)
def test_a_dry_run_looks_for_everything(tiny_checkpoints: Path, tmp_path: Path, change: dict, message: str):
    with pytest.raises(ExportError, match=re.escape(message)):
        dry_run(replace(tiny_sources(tiny_checkpoints), **change), tmp_path / "bundle", tiny_options())


def test_a_dry_run_misses_weights_on_the_hub(tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    served = shutil.copytree(tiny_checkpoints / "pipeline", tmp_path / "served" / "me" / "pipeline")
    (served / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    use_cache(tmp_path / "cache", monkeypatch, offline=False)
    sources = Sources.from_pipeline(tiny_checkpoints / "encoder", "me/pipeline")
    with (
        serving(FakeHub(tmp_path / "served"), monkeypatch),
        pytest.raises(ExportError, match=r"vae me/pipeline/vae has no diffusion_pytorch_model\.safetensors"),
    ):
        dry_run(sources, tmp_path / "bundle", tiny_options())


def test_a_place_below_a_file_is_refused(tiny_checkpoints: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="file is a file; choose another place"):
        dry_run(tiny_sources(tiny_checkpoints), tmp_path / "file" / "bundle", tiny_options())


def test_a_dry_run_is_refused_as_the_export_would_be(tiny_checkpoints: Path, tiny_bundle: Path):
    with pytest.raises(ExportError, match="is there already"):
        dry_run(tiny_sources(tiny_checkpoints), tiny_bundle, tiny_options())
    with pytest.raises(ExportError, match="expected multiples of 8"):
        dry_run(tiny_sources(tiny_checkpoints), tiny_bundle / "new", replace(tiny_options(), picture=(63, 63)))


def test_parts_without_weights_are_told_by_their_names(tiny_checkpoints: Path, tmp_path: Path):
    for path in tiny_checkpoints.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            target = tmp_path / path.relative_to(tiny_checkpoints)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    assert told(tmp_path)["encoder"] == "encoder"


def test_the_manifest_tells_the_commit_of_what_is_fetched_only_now(
    tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "served" / "me").mkdir(parents=True)
    (tmp_path / "served" / "me" / "pipeline").symlink_to(tiny_checkpoints / "pipeline")
    use_cache(tmp_path / "cache", monkeypatch, offline=False)
    sources = replace(Sources.from_pipeline(tiny_checkpoints / "encoder", f"me/pipeline@{BRANCH}"), words=False)
    with serving(FakeHub(tmp_path / "served"), monkeypatch):
        bundle = export_bundle(sources, tmp_path / "bundle", tiny_options())
    told = {one.component: (one.origin, one.revision) for one in bundle.sources}
    assert told["unet"] == ("me/pipeline/unet", OTHER_COMMIT)


def test_a_variant_that_nothing_has_is_refused(tiny_checkpoints: Path, tmp_path: Path):
    sources = replace(tiny_sources(tiny_checkpoints), variant="fp15")
    with pytest.raises(ExportError, match="no checkpoint has weights of the variant 'fp15'; leave --variant out"):
        export_bundle(sources, tmp_path / "bundle", tiny_options())
