"""Names on the hub, with its real client: out of its cache without a network, and from a server on this machine."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from clavilux.export.checkpoints.load import (
    Sources,
    load_encoder,
    load_text_encoder,
    load_tokenizer,
    load_unet,
    load_vae,
)
from clavilux.export.checkpoints.locate import (
    UnreachableError,
    at_revision,
    list_files,
    origin,
    read_config,
    revision,
)
from clavilux.export.checkpoints.pipeline import SCHEDULER_CONFIG
from clavilux.export.checkpoints.weights import find_weights, stored_weights, weights_bytes
from clavilux.export.models.schedule import read_schedule
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import (
    BRANCH,
    COMMIT,
    OTHER_COMMIT,
    PULL_REQUEST,
    FakeHub,
    serving,
    use_cache,
    write_cache,
)

ENCODER, PIPELINE = "youzarsif/wav2vec2bert_2_diffusion", "stabilityai/sd-turbo"


@pytest.fixture
def cached(tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """The tiny checkpoints in the hub's cache, under published names, without a network."""
    cache = use_cache(tmp_path / "hub", monkeypatch)
    write_cache(cache, ENCODER, tiny_checkpoints / "encoder")
    write_cache(cache, PIPELINE, tiny_checkpoints / "pipeline")
    return Sources.from_pipeline(ENCODER, PIPELINE)


@pytest.fixture
def hub(tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that can be reached, with the tiny checkpoints under published names; nothing is in the cache."""
    use_cache(tmp_path / "hub", monkeypatch, offline=False)
    shutil.copytree(tiny_checkpoints / "encoder", tmp_path / "served" / ENCODER)
    shutil.copytree(tiny_checkpoints / "pipeline", tmp_path / "served" / PIPELINE)
    with serving(FakeHub(tmp_path / "served"), monkeypatch) as served:
        yield served


def refusal(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(ExportError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_same(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    state = found.state_dict()
    for name, weight in expected.state_dict().items():
        assert torch.equal(state[name], weight), name


def assert_all_loads(sources: Sources, checkpoints: Path) -> None:
    assert read_config(sources.encoder, "encoder")["model_type"] == "wav2vec2-bert"
    assert_same(load_encoder(sources.encoder), load_encoder(checkpoints / "encoder"))
    pipeline = checkpoints / "pipeline"
    assert_same(load_unet(sources.unet), load_unet(pipeline / "unet"))
    assert_same(load_vae(sources.vae, "AutoencoderTiny"), load_vae(pipeline / "vae", "AutoencoderTiny"))
    assert_same(load_text_encoder(sources.text_encoder), load_text_encoder(pipeline / "text_encoder"))
    assert load_tokenizer(sources.tokenizer).padding == "!"
    config = read_config(sources.scheduler, "scheduler", SCHEDULER_CONFIG)
    assert read_schedule(config, sources.scheduler)[1].kind == "euler"


def test_everything_loads_from_the_cache_without_a_network(cached: Sources, tiny_checkpoints: Path):
    assert_all_loads(cached, tiny_checkpoints)


def test_everything_is_downloaded_once(
    hub: FakeHub, tiny_checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    sources = Sources.from_pipeline(ENCODER, PIPELINE)
    assert_all_loads(sources, tiny_checkpoints)
    asked = sorted(hub.asked)
    assert len(asked) == len(set(asked))
    use_cache(tmp_path / "hub", monkeypatch)
    assert_all_loads(sources, tiny_checkpoints)
    assert sorted(hub.asked) == asked


def test_a_half_precision_variant_is_found_on_the_hub(hub: FakeHub):
    folder = hub.folder / PIPELINE / "unet"
    file = folder / "diffusion_pytorch_model.safetensors"
    file.rename(folder / "diffusion_pytorch_model.fp16.safetensors")
    said: list[str] = []
    load_unet(f"{PIPELINE}/unet", report=said.append)
    assert "diffusion_pytorch_model.fp16.safetensors is taken" in said[0]


def test_a_cache_of_links_is_read_and_weighed_as_files_are(hub: FakeHub, tiny_checkpoints: Path):
    """The hub's client keeps files by their hashes, and links to them; shared caches are links to links."""
    (file,) = find_weights(f"{PIPELINE}/unet", "unet").paths
    assert file.is_symlink()
    theirs = tiny_checkpoints / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors"
    assert weights_bytes(f"{PIPELINE}/unet", "unet") == theirs.stat().st_size
    cache = Path(constants.HF_HUB_CACHE)
    cache.rename(cache.with_name("shared"))
    cache.symlink_to(cache.with_name("shared"), target_is_directory=True)
    assert_same(load_unet(f"{PIPELINE}/unet"), load_unet(theirs.parent))


def test_shards_are_found_in_the_cache(tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = load_unet(tiny_checkpoints / "pipeline" / "unet")
    whole.save_pretrained(tmp_path / "shards" / "unet", max_shard_size="50KB")
    write_cache(use_cache(tmp_path / "hub", monkeypatch), PIPELINE, tmp_path / "shards")
    assert_same(load_unet(f"{PIPELINE}/unet"), whole)


def test_pickles_on_the_hub_are_not_fetched_unless_it_is_allowed(hub: FakeHub):
    folder = hub.folder / ENCODER
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refusal(load_encoder, ENCODER)
    assert message == (
        f"encoder {ENCODER} has no model.safetensors; expected safetensors; with --allow-pickle pickles are read too"
    )
    assert not any(path.endswith(".bin") for path in hub.asked)


def test_pickles_in_the_cache_are_said_to_be_pickles(cached: Sources, tmp_path: Path):
    snapshot = next((tmp_path / "hub").glob(f"models--{ENCODER.replace('/', '--')}/snapshots/*"))
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert "has only pickled weights (pytorch_model.bin)" in refusal(load_encoder, ENCODER)


def test_the_revision_of_a_hub_name_is_its_commit(cached: Sources):
    assert revision(cached.encoder) == COMMIT
    assert revision(cached.unet) == COMMIT


@pytest.mark.parametrize("where", ["never/fetched", "single", Path("a/b")])
def test_what_was_never_fetched_has_no_revision(where: str | Path, cached: Sources):
    assert revision(where) == ""


def test_a_folder_has_no_revision(tiny_checkpoints: Path):
    assert revision(str(tiny_checkpoints / "encoder")) == ""


def test_weights_in_the_cache_are_weighed(cached: Sources, tiny_checkpoints: Path):
    file = tiny_checkpoints / "encoder" / "model.safetensors"
    assert weights_bytes(ENCODER, "encoder") == file.stat().st_size


def test_neither_cache_nor_network_is_one_line(cached: Sources):
    message = refusal(read_config, "me/encoder", "encoder")
    assert message == (
        "encoder me/encoder is not in the hub's cache, and the hub cannot be reached; expected a folder, or a network"
    )


def test_a_cache_with_configurations_alone_says_that_the_hub_is_needed(cached: Sources, tmp_path: Path):
    for file in (tmp_path / "hub").rglob("*.safetensors"):
        file.unlink()
    assert "is not in the hub's cache" in refusal(load_unet, cached.unet)


@pytest.fixture
def silent_hub(cached: Sources, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """The cached checkpoints, and a network on which nothing answers."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return cached


def test_without_a_network_the_cache_is_used_at_once(silent_hub: Sources, tiny_checkpoints: Path):
    assert_all_loads(silent_hub, tiny_checkpoints)


def test_a_hub_that_does_not_answer_is_one_line(silent_hub: Sources):
    with pytest.raises(UnreachableError, match="the hub cannot be reached"):
        read_config("me/encoder", "encoder")


def test_a_missing_or_private_repository_is_said_to_be_so(hub: FakeHub):
    message = refusal(read_config, "me/secret", "encoder")
    assert message.startswith("encoder me/secret is no folder here, and no public repository on the hub")
    assert "if it is private, run `hf auth login`" in message


def test_a_gated_repository_is_said_to_be_so(hub: FakeHub):
    hub.refusals[PIPELINE] = (403, "GatedRepo")
    assert "is gated on the hub; accept its terms on its page there" in refusal(load_unet, f"{PIPELINE}/unet")


def test_a_repository_without_the_expected_file_names_it(hub: FakeHub):
    assert "has no scheduler_config.json" in refusal(read_config, ENCODER, "scheduler", SCHEDULER_CONFIG)
    (hub.folder / ENCODER / "config.json").unlink()
    assert "has no config.json" in refusal(load_encoder, ENCODER)


def test_what_cannot_be_a_repository_is_one_line(cached: Sources):
    assert "cannot be loaded" in refusal(read_config, "what?/is this", "encoder")


def test_an_error_without_words_is_named_by_its_type(monkeypatch: pytest.MonkeyPatch):
    def download(*_: object, **__: object) -> str:
        raise TimeoutError

    monkeypatch.setattr("clavilux.export.checkpoints.locate.hf_hub_download", download)
    assert refusal(read_config, "me/encoder", "encoder") == "encoder me/encoder cannot be loaded: TimeoutError"


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def download(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clavilux.export.checkpoints.locate.hf_hub_download", download)
    assert "No space left on device" in refusal(load_encoder, "me/encoder")


@pytest.mark.parametrize("at", [BRANCH, OTHER_COMMIT])
def test_a_branch_or_a_commit_of_a_repository_can_be_named(
    hub: FakeHub, tiny_checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: str
):
    pinned = Sources.from_pipeline(f"{ENCODER}@{at}", f"{PIPELINE}@{at}")
    assert_all_loads(pinned, tiny_checkpoints)
    assert {path.split("/")[4] for path in hub.asked} <= {at, OTHER_COMMIT}
    assert (revision(pinned.encoder), revision(pinned.unet)) == (OTHER_COMMIT, OTHER_COMMIT)
    assert (origin(pinned.encoder), origin(pinned.unet)) == (ENCODER, f"{PIPELINE}/unet")
    use_cache(tmp_path / "hub", monkeypatch)
    assert_all_loads(pinned, tiny_checkpoints)


def test_a_revision_that_is_not_there_is_one_line(hub: FakeHub):
    message = refusal(read_config, f"{ENCODER}@v9", "encoder")
    assert message == (f"encoder {ENCODER}@v9 has no such revision on the hub; expected a branch, a tag or a commit")


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("a/b", "a/b@v1"),
        ("a/b/unet", "a/b@v1/unet"),
        ("a/b/sd15.safetensors", "a/b@v1/sd15.safetensors"),
    ],
)
def test_a_revision_stands_behind_the_repository(where: str, named: str):
    assert at_revision(where, "v1") == named


def test_a_revision_may_have_slashes(hub: FakeHub, tiny_checkpoints: Path):
    where = at_revision(f"{PIPELINE}/unet", PULL_REQUEST)
    assert_same(load_unet(where), load_unet(tiny_checkpoints / "pipeline" / "unet"))
    assert (revision(where), origin(where)) == (OTHER_COMMIT, f"{PIPELINE}/unet")


@pytest.mark.parametrize("where", ["a/b@", "a/b@/unet"])
def test_an_empty_revision_is_refused(where: str):
    assert "is empty; expected a branch, a tag or a commit" in refusal(read_config, where, "unet")


@pytest.mark.parametrize("where", ["~/models/sd", "C:/models/sd"])
def test_a_path_that_is_not_here_is_no_name_on_the_hub(where: str):
    assert f"unet {where} does not exist" in refusal(read_config, where, "unet")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("alone", "--revision v1 is of a repository on the hub; alone is none"),
        ("a/b@v2", "a/b@v2 names a revision, and --revision v1 another; give one of them"),
    ],
)
def test_a_revision_of_anything_else_is_refused(where: str, message: str):
    assert refusal(at_revision, where, "v1") == message
    assert "is empty; expected" in refusal(at_revision, "a/b", " ")


def test_a_folder_has_no_revision_to_choose(tmp_path: Path):
    assert refusal(at_revision, str(tmp_path), "v1").endswith(f"{tmp_path} is none")


def test_files_on_the_hub_are_listed_without_fetching_one(hub: FakeHub, tiny_checkpoints: Path):
    expected = {path.name: path.stat().st_size for path in (tiny_checkpoints / "pipeline" / "unet").iterdir()}
    assert list_files(f"{PIPELINE}/unet", "unet") == expected
    found = stored_weights(f"{PIPELINE}/unet", "unet")
    file = "diffusion_pytorch_model.safetensors"
    assert found is not None
    assert (found.file, found.bytes, found.of, found.parameters) == (file, expected[file], 1, expected[file] // 4)
    assert not any("resolve" in path for path in hub.asked)


def test_files_in_the_cache_are_listed_without_a_network(cached: Sources, tiny_checkpoints: Path):
    expected = {path.name: path.stat().st_size for path in (tiny_checkpoints / "encoder").iterdir()}
    assert list_files(cached.encoder, "encoder") == expected
    assert list_files("never/fetched", "encoder") == {}
