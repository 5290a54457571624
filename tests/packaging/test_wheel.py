"""The wheel: the same from every kind of checkout, one importable name, and all that a player needs."""

from pathlib import Path

import pytest

import clavilux
from tests.packaging.builds import FOLDERS, build, copy, metadata, names, unpacked, without_links
from tests.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a checkout whose links are links."""
    return build(copy(tmp_path_factory.mktemp("links") / "clavilux"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    made = build(copy(tmp_path_factory.mktemp("sdist") / "clavilux"), "sdist")
    return unpacked(made, tmp_path_factory.mktemp("unpacked"))


def modules(checkout: Path) -> set[str]:
    """Return the Python files of the five folders as a wheel names them."""
    files = [file.relative_to(checkout) for folder in FOLDERS for file in (checkout / folder).rglob("*.py")]
    return {f"clavilux/{file.as_posix()}" for file in files}


def test_it_holds_one_importable_name(wheel: Path):
    version = f"clavilux-{clavilux.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names(wheel)} == {"clavilux", version}


def test_it_holds_every_module_once(wheel: Path):
    own = {f"clavilux/{name}.py" for name in ("__init__", "__main__", "command")}
    assert {name for name in names(wheel) if name.endswith(".py")} == modules(ROOT) | own


def test_it_holds_the_page_the_default_bundle_and_the_types(wheel: Path):
    data = [ROOT / "server" / "page", ROOT / "runtime" / "bundles" / "lumia"]
    files = [file.relative_to(ROOT) for folder in data for file in folder.iterdir() if file.is_file()]
    assert len(files) > 10
    assert {f"clavilux/{file.as_posix()}" for file in files} <= names(wheel)
    assert "clavilux/py.typed" in names(wheel)


def test_it_holds_no_tests_and_nothing_that_was_made_here(wheel: Path):
    assert [name for name in names(wheel) if "tests" in name or name.endswith(".pyc") or "/engines/" in name] == []


def test_a_checkout_without_links_gives_the_same_files(wheel: Path, tmp_path: Path):
    assert names(build(without_links(copy(tmp_path / "clavilux")), "wheel")) == names(wheel)


def test_the_sdist_gives_the_same_files(wheel: Path, sdist: Path):
    assert names(build(sdist, "wheel")) == names(wheel)


def test_the_sdist_holds_what_a_packager_reads_and_runs(sdist: Path):
    assert {"LICENSE", "README.md", "docs", "pyproject.toml", "tests"} <= {path.name for path in sdist.iterdir()}
    assert (sdist / "tests" / "sounds" / "penguin.wav").is_file()


def test_the_sdist_needs_no_links(sdist: Path):
    assert [path for path in sdist.rglob("*") if path.is_symlink()] == []
    assert not any((sdist / "clavilux" / folder).exists() for folder in FOLDERS)


def test_it_says_its_version_its_licence_and_where_to_read_more(wheel: Path):
    told = metadata(wheel)
    assert (told["Name"], told["Version"], told["License-Expression"]) == (
        "clavilux",
        clavilux.__version__,
        "Apache-2.0",
    )
    labels = {url.partition(",")[0] for url in told.get_all("Project-URL", [])}
    assert labels == {"Changelog", "Documentation", "Homepage", "Issues", "Source"}
    assert "Typing :: Typed" in told.get_all("Classifier", [])


def test_nothing_of_torch_is_wanted_without_an_extra(wheel: Path):
    wanted = [line for line in metadata(wheel).get_all("Requires-Dist", []) if "extra ==" not in line]
    assert wanted
    assert not any(line.startswith(("diffusers", "onnx", "torch", "transformers")) for line in wanted)
