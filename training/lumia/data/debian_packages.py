"""Debian packages by name: the installed one, or else one fetched and unpacked below DIR/measuring without installing.

Assumes, for fetching, `apt-get` and `dpkg-deb` on the path and package lists that are up to date. The licence of a file
is read from the package's own copyright file (the format is DEP-5: the last stanza that matches a path counts).
"""

import gzip
import re
import shutil
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data import assets

FOLDER = "measuring"  # inside the data folder
FIELD = re.compile(r"^([\w-]+):(.*(?:\n[ \t].*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """A package whose files can be read."""

    name: str
    share: Path  # what the package calls /usr/share

    @property
    def version(self) -> str:
        """Return the version that the package's changelog begins with, or "" when there is no changelog."""
        changelog = self._document("changelog.Debian.gz")
        if not changelog.exists():
            return ""
        first = gzip.decompress(changelog.read_bytes()).decode().split("\n")[0]
        return first.partition("(")[2].partition(")")[0]

    @property
    def source(self) -> str:
        """Return where clips of it come from, for their Origin."""
        return " ".join(f"Debian {self.name} {self.version}".split()) + " (measuring only)"

    def licence(self, path: str) -> str:
        """Return the licence of a file by its path in the package's source, where patterns go over folders.

        Raises ClaviluxError when the package states none.
        """
        file = self._document("copyright")
        stanzas = re.split(r"\n\s*\n", file.read_text()) if file.exists() else []
        found = ""
        for fields in (dict(FIELD.findall(stanza)) for stanza in stanzas):
            if any(fnmatchcase(path, pattern) for pattern in fields.get("Files", "").split()):
                found = fields["License"].strip().split("\n")[0]
        if not found:
            raise ClaviluxError(f"no licence of {path} was found in {file}; fetch the package {self.name} again")
        return found

    def _document(self, name: str) -> Path:
        return self.share / "doc" / self.name / name


def debian_package(name: str, holding: str, folder: Path) -> Package:
    """Return the package that has `holding` (a path below /usr/share): installed, fetched before, or fetched now.

    Raises ClaviluxError when it cannot be fetched or lacks what it should hold.
    """
    fetched = folder / FOLDER / name
    places = [*assets.SEARCH, fetched / "usr/share"]
    for share in places:
        if (share / holding).exists():
            return Package(name, share)
    if fetched.exists():
        raise ClaviluxError(f"{fetched} has no usr/share/{holding}; delete it, and it is fetched again")
    _fetch(name, fetched)
    if not (places[-1] / holding).exists():
        raise ClaviluxError(f"the package {name} has no usr/share/{holding}; take Debian 12's package")
    return Package(name, places[-1])


def _fetch(name: str, target: Path) -> None:
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise ClaviluxError(f"{program} was not found; unpack Debian's package {name} into {target} by other means")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        assets.run(["env", "-C", place, "apt-get", "--quiet", "download", name])  # it saves where it runs
        found = sorted(Path(place).glob(f"{name}_*.deb"))
        if not found:
            raise ClaviluxError(f"apt-get left no {name}_*.deb; unpack the package into {target} by other means")
        assets.run(["dpkg-deb", "-x", str(found[0]), f"{place}/files"])
        Path(place, "files").rename(target)
