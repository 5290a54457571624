"""The page's files as they lie: the pure JavaScript under node, and what the server's content policy forbids."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from clavilux.server.settings import PAGE

HERE = Path(__file__).parent
NODE = shutil.which("node")


def test_the_pure_parts_of_the_page_pass_their_own_tests():
    assert NODE, "no Node.js here; `bash .ci/run` installs it"
    run = subprocess.run([NODE, "--test", HERE / "client.test.mjs"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


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
    for file in (path for path in PAGE.rglob("*") if path.is_file()):
        found = set(re.findall(r"https?://[^\s'\"`]+\.[^\s'\"`]+", file.read_text(encoding="utf-8")))
        assert found <= allowed, file.name


def test_every_module_says_what_it_is_for():
    for file in PAGE.rglob("*.js"):
        assert file.read_text(encoding="utf-8").startswith("/**"), file.name
