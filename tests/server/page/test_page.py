"""The page's files as they lie: the pure JavaScript under node, and what the server's content policy forbids."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from clavilux.runtime.control.parameters import RANGES, describe
from clavilux.runtime.control.routes import parse_route
from clavilux.server.settings import PAGE

HERE = Path(__file__).parent
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files where any node takes them for modules: beside a package.json that says so."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def _node(*arguments: str | Path, page: Path) -> subprocess.CompletedProcess[str]:
    assert NODE, "no Node.js here; `bash .ci/run` installs it"
    environment = os.environ | {"PAGE_URL": f"{page.as_uri()}/"}
    return subprocess.run([NODE, *arguments], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("file", ["client.test.mjs", "routes.test.mjs", "sound.test.mjs"])
def test_the_pure_parts_of_the_page_pass_their_own_tests(file: str, copy: Path):
    run = _node("--test", HERE / file, page=copy)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_page_reads_and_moves_what_the_stage_does(copy: Path):
    lines = ["onset > exposure 0.8, attack 0, release 0.2, curve 1", "low>zoom -2", "beat > hue 1e1 , curve 2", ""]
    script = (
        "const { parseRoute: parse } = await import(process.env.PAGE_URL + 'modulation.js');"
        "const { format, targets } = await import(process.env.PAGE_URL + 'routes.js');"
        f"const lines = {json.dumps(lines)};"
        f"const moved = targets({json.dumps(describe())});"
        "console.log(JSON.stringify([lines.map(parse), lines.map((line) => format(parse(line))), moved]));"
    )
    run = _node("--input-type=module", "-e", script, page=copy)
    read, written, moved = json.loads(run.stdout)
    routes = [parse_route(line) for line in lines]
    assert read == [route and asdict(route) for route in routes]
    assert [parse_route(line) for line in written] == routes
    assert moved == [name for name, spec in RANGES.items() if spec.kind == "float" and not spec.fixed]


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed((PAGE / "index.html").read_text(encoding="utf-8"))
    return parser.found


def test_no_element_carries_a_style_or_a_handler(elements):
    assert [
        (tag, name) for tag, attributes in elements for name in attributes if name == "style" or name[:2] == "on"
    ] == []


def test_every_script_and_style_is_a_file_of_the_page(elements):
    links = [
        attributes.get("src") or attributes.get("href") for tag, attributes in elements if tag in ("script", "link")
    ]
    assert all(link and (PAGE / link.removeprefix("/page/")).is_file() for link in links)


def test_every_field_has_a_label(elements):
    labelled = {attributes.get("for") for tag, attributes in elements if tag == "label"}
    fields = [attributes for tag, attributes in elements if tag in ("input", "select")]
    assert [field["id"] for field in fields if field["id"] not in labelled and "aria-label" not in field] == []


def test_nothing_is_fetched_from_another_host():
    allowed = {"http://www.w3.org/2000/svg"}
    for file in filter(Path.is_file, PAGE.rglob("*")):
        found = set(re.findall(r"https?://[^\s'\"`]+\.[^\s'\"`]+", file.read_text(encoding="utf-8")))
        assert found <= allowed, file.name


def test_every_module_says_what_it_is_for():
    for file in PAGE.glob("*.js"):
        assert file.read_text(encoding="utf-8").startswith("/**"), file.name
