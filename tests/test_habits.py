"""Facts that stand in two places are the same in both, and no workflow may do more than it must."""

import re
from pathlib import Path

import pytest

import clavilux

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # Keep a Changelog 1.1.0


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def only(pattern: str, name: str) -> str:
    """Return what the one place in a file that fits `pattern` says."""
    (found,) = re.findall(pattern, text(name), re.MULTILINE)
    return str(found)


def test_commits_are_checked_by_the_ruff_of_the_tests() -> None:
    hook = only(r"ruff-pre-commit\n +rev: v([\d.]+)", ".pre-commit-config.yaml")
    assert hook == only(r"^ruff==([\d.]+)$", "constraints.txt")


def test_the_citation_names_this_version_and_licence() -> None:
    assert only(r"^version: (.+)$", "CITATION.cff") == clavilux.__version__
    assert only(r"^license: (.+)$", "CITATION.cff") == only(r'^license = "(.+)"$', "pyproject.toml")


def test_the_changelog_has_the_sections_that_readers_know() -> None:
    page = text("CHANGELOG.md")
    assert re.search(r"^## \[Unreleased\]$", page, re.MULTILINE)
    assert set(re.findall(r"^### (.+)$", page, re.MULTILINE)) <= SECTIONS


def test_every_python_that_is_promised_is_tried() -> None:
    tried = only(r"^ +python: \[(.+)\]$", ".github/workflows/light.yml")
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text("pyproject.toml"))
    assert re.findall(r'"(.+?)"', tried) == promised
    assert only(r'^requires-python = ">=(.+)"$', "pyproject.toml") == promised[0]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_only_reads(path: Path) -> None:
    """All but the publishing job, which says who it is."""
    grants = re.findall(r"^( *)permissions:\n((?:\1 +.+\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [said.split("#")[0].strip() for _, said in grants] == (
        ["contents: read", "id-token: write"] if path.stem == "release" else ["contents: read"]
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_names_the_versions_of_what_it_uses(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
    assert used
    assert [name for name in used if not re.search(r"^\./|@(release/)?v\d+$|@[0-9a-f]{40}$", name)] == []
