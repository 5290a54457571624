"""House rules that a machine can check."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "diffusers"}
LIGHT_FOLDERS = ("runtime", "server")


def imported(path: Path) -> set[str]:
    """Return the top-level modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("folder", LIGHT_FOLDERS)
def test_the_instrument_never_imports_torch(folder: str) -> None:
    culprits = {path.name: imported(path) & HEAVY for path in (ROOT / folder).rglob("*.py")}
    assert not {name: modules for name, modules in culprits.items() if modules}


@pytest.mark.parametrize("folder", LIGHT_FOLDERS)
def test_the_instrument_stands_on_no_folder_above_it(folder: str) -> None:
    above = {"export", "training", "benchmarks", "tests"} | ({"server"} if folder == "runtime" else set())
    assert not {path.name for path in (ROOT / folder).rglob("*.py") if imported(path) & above}


def test_the_map_in_the_readme_names_every_file_of_the_instrument() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_*]+\.py)`", readme))
    patterns = [name for name in named if "*" in name]
    for folder in LIGHT_FOLDERS:
        for path in (ROOT / folder).glob("*.py"):
            known = path.name in named or any(path.match(pattern) for pattern in patterns)
            assert known or path.name == "__init__.py", f"{folder}/{path.name} is not on the README's map"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_in_the_papers_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []
