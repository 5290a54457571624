"""The pages lead somewhere, say what the code says, and build to a site."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from clavilux.runtime.control.parameters import RANGES
from tests.paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
SITE_SECONDS = 300


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_in_the_papers_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_page_of_parameters_says_what_is_declared() -> None:
    command = [sys.executable, str(DOCS / "make_parameters.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_parameter_stands_on_that_page() -> None:
    page = (DOCS / "parameters.md").read_text(encoding="utf-8")
    named = {name for row in re.findall(r"^\| `(\w+)`.*\|$", page, re.MULTILINE) for name in [row]}
    assert {name for name, spec in RANGES.items() if spec.kind != "route"} <= named


def test_what_perform_sets_are_parameters() -> None:
    turned = re.findall(r"`(\w+)=", (DOCS / "perform.md").read_text(encoding="utf-8"))
    assert {name for name in turned if name.islower()} <= RANGES.keys()


class Fetched(HTMLParser):
    """Gathers what a page fetches from elsewhere when it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep the address of a script, style, font or picture that another host holds."""
        for name, value in attributes:
            fetches = (tag, name) != ("a", "href") and name in ("href", "src", "srcset", "data")
            if fetches and re.match(r"(https?:)?//", value or ""):
                self.foreign.append(f"<{tag} {name}={value}>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    for module in ("zensical", "mkdocstrings_handlers"):
        pytest.importorskip(module, reason="needs the extra docs: pip install '.[docs]'")
    root = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "zensical.toml", root)
    shutil.copytree(DOCS, root / "docs")
    for name in ("clavilux", "runtime", "server", "export", "training", "benchmarks"):
        (root / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=SITE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "site"


def test_the_site_has_every_page_and_the_reference(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").exists(), page
    reference = (site / "reference" / "runtime.html").read_text(encoding="utf-8")
    assert 'id="clavilux.runtime.playing.engine.Engine.hear"' in reference


def test_reading_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        reader = Fetched()
        reader.feed(page.read_text(encoding="utf-8"))
        assert reader.foreign == [], page


def listed_members() -> list[tuple[str, str]]:
    """Return each member that a page of the reference asks for, with its module."""
    found = []
    for page in sorted((DOCS / "reference").glob("*.md")):
        for part in page.read_text(encoding="utf-8").split("\n::: ")[1:]:
            for members in re.findall(r"^ +members: \[([^\]]*)\]", part, re.MULTILINE):
                found += [(part.split("\n", 1)[0].strip(), name) for name in re.findall(r"\w+", members)]
    return found


@pytest.mark.parametrize(("module", "member"), listed_members(), ids=lambda name: name)
def test_what_the_reference_lists_is_there(module: str, member: str) -> None:
    name = module.removeprefix("clavilux.").replace(".", "/")
    path = next(path for path in (ROOT / f"{name}.py", ROOT / name / "__init__.py") if path.is_file())
    assert re.search(rf"^(class |def |async def )?{member}\b", path.read_text(encoding="utf-8"), re.MULTILINE), path
