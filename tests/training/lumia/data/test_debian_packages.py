"""A package is taken where it is installed, or fetched once; its version and licences are its own words."""

import gzip
from pathlib import Path

import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data import assets, debian_packages
from clavilux.training.lumia.data.debian_packages import Package, debian_package

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2002 Somebody
License: GPL-2+

Files: sounds/cow.ogg
       sounds/*_cut.ogg
Copyright: 2003 Another
License: CC0-1.0
 No rights are kept.

License: GPL-2+
 This package is free software.
"""


@pytest.fixture(autouse=True)
def nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "SEARCH", (tmp_path / "share",))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    documents = tmp_path / "share/doc/moo"
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(COPYRIGHT)
    (documents / "changelog.Debian.gz").write_bytes(gzip.compress(b"moo-source (4:1.2-3) unstable; urgency=low\n\nmoo"))
    return Package("moo", tmp_path / "share")


class Apt:
    """Stands for apt-get and dpkg-deb: a package with one file."""

    def __init__(self, holding: str = "moo/cow.ogg", *, loses: bool = False) -> None:
        self.holding, self.loses = holding, loses
        self.downloads = 0

    def run(self, command: list[str]) -> str:
        if "download" in command:
            self.downloads += 1
            if not self.loses:
                (Path(command[2]) / "moo_1.2-3_all.deb").touch()
        else:
            assert Path(command[2]).exists()
            file = Path(command[3]) / "usr/share" / self.holding
            file.parent.mkdir(parents=True)
            file.touch()
        return ""


def with_apt(monkeypatch: pytest.MonkeyPatch, apt: Apt) -> Apt:
    monkeypatch.setattr(assets, "run", apt.run)
    monkeypatch.setattr(debian_packages.shutil, "which", lambda program: f"/usr/bin/{program}")
    return apt


def test_an_installed_package_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = with_apt(monkeypatch, Apt())
    (tmp_path / "share/moo").mkdir(parents=True)
    assert debian_package("moo", "moo", tmp_path) == Package("moo", tmp_path / "share")
    assert apt.downloads == 0


def test_a_missing_package_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = with_apt(monkeypatch, Apt())
    found = [debian_package("moo", "moo/cow.ogg", tmp_path / "data") for _ in range(2)]
    assert found == [Package("moo", tmp_path / "data/measuring/moo/usr/share")] * 2
    assert apt.downloads == 1


def test_fetching_leaves_nothing_but_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_apt(monkeypatch, Apt())
    debian_package("moo", "moo/cow.ogg", tmp_path)
    assert [path.name for path in (tmp_path / "measuring").iterdir()] == ["moo"]


def test_a_package_without_what_it_should_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_apt(monkeypatch, Apt(holding="moo/elsewhere.ogg"))
    with pytest.raises(ClaviluxError, match=r"moo has no usr/share/moo/cow\.ogg"):
        debian_package("moo", "moo/cow.ogg", tmp_path)


def test_a_folder_without_the_package_s_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "measuring/moo").mkdir(parents=True)
    with pytest.raises(ClaviluxError, match="delete it"):
        debian_package("moo", "moo/cow.ogg", tmp_path)


def test_a_download_that_leaves_no_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_apt(monkeypatch, Apt(loses=True))
    with pytest.raises(ClaviluxError, match="apt-get left no moo_"):
        debian_package("moo", "moo/cow.ogg", tmp_path)


def test_a_system_without_apt_is_told_where_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_packages.shutil, "which", lambda program: None)
    with pytest.raises(ClaviluxError, match=r"apt-get was not found; unpack .* into .*measuring/moo"):
        debian_package("moo", "moo/cow.ogg", tmp_path)


def test_the_source_has_the_version_of_the_changelog(package: Package) -> None:
    assert package.source == "Debian moo 4:1.2-3 (measuring only)"


def test_without_a_changelog_the_source_has_no_version(package: Package) -> None:
    (package.share / "doc/moo/changelog.Debian.gz").unlink()
    assert package.source == "Debian moo (measuring only)"


@pytest.mark.parametrize(
    ("path", "licence"),
    [("sounds/pig.ogg", "GPL-2+"), ("sounds/cow.ogg", "CC0-1.0"), ("sounds/farm/a_cut.ogg", "CC0-1.0")],
)
def test_the_last_stanza_that_matches_gives_the_licence(package: Package, path: str, licence: str) -> None:
    assert package.licence(path) == licence


def test_a_package_without_a_licence_is_refused(package: Package) -> None:
    (package.share / "doc/moo/copyright").unlink()
    with pytest.raises(ClaviluxError, match=r"no licence of sounds/cow\.ogg"):
        package.licence("sounds/cow.ogg")
