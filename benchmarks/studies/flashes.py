"""Flash limiter before an oracle: EA's IRIS judges strobes as they are and as the limiter shows them.

    python -m venv ORACLE && ORACLE/bin/pip install iris-pse-detection==1.1.2
    CLAVILUX_IRIS_PYTHON=ORACLE/bin/python python -m clavilux.benchmarks.studies.flashes

The oracle lives in an environment of its own, for it brings OpenCV. Without the variable only the limiter's cost is
measured. IRIS counts transitions of the mean of the field; two make a flash; it fails what has more than six a second
and what has four to six for four seconds out of five, and warns of four. Stripes that swap have one mean and pass it
anyway: the tests count those pixel by pixel. Prints a table, and a last line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.runtime.output.colour import to_linear, to_srgb
from clavilux.runtime.output.flash_limiter import FlashLimiter

ORACLE = "CLAVILUX_IRIS_PYTHON"
SCRIPT = Path(__file__).with_name("flash_oracle.py")
PATIENCE_S = 120.0  # for one sequence
RATES = (25, 30, 60)  # frames per second
HERTZ = (4.0, 5.0, 7.5, 10.0, 12.5, 15.0, 20.0, 30.0)  # flashes a second; what no rate can show is left out
SECONDS = 6.0  # of each strobe: IRIS looks back for five
FIELD = (72, 128)  # rows and columns
SIZES = ((256, 256), (720, 1280))  # whose cost is measured
COSTED = 60  # frames each
EXIT_FAILS = 1

Picture = NDArray[np.uint8]  # [H, W, 3]
Draw = Callable[[tuple[int, int], bool, int], Picture]  # size, lit or not, flashes before


@dataclass(frozen=True)
class Verdict:
    """Judgement of one sequence."""

    verdict: str  # Pass, PassWithWarning, ExtendedFail or FlashFail
    luminance: int  # most transitions in a second
    red: int


@dataclass(frozen=True)
class Row:
    """A strobe before and after."""

    strobe: str
    hertz: float
    rate: int  # frames per second
    before: Verdict
    after: Verdict


def _plain(on: tuple[int, int, int], off: tuple[int, int, int]) -> Draw:
    return lambda size, lit, _: np.full((*size, 3), on if lit else off, np.uint8)


def _quarter(size: tuple[int, int], lit: bool, _: int) -> Picture:
    """The middle quarter of a grey field, black and white."""
    picture = np.full((*size, 3), 90, np.uint8)
    picture[size[0] // 4 : -(size[0] // 4), size[1] // 4 : -(size[1] // 4)] = 255 * lit
    return picture


def _moving(size: tuple[int, int], lit: bool, count: int) -> Picture:
    """A quarter of the field, in another corner each time."""
    picture = np.zeros((*size, 3), np.uint8)
    rows, across = size[0] // 2, size[1] // 2
    y, x = (count // 2 % 2) * rows, (count % 2) * across
    picture[y : y + rows, x : x + across] = 255 * lit
    return picture


def _stripes(size: tuple[int, int], lit: bool, _: int) -> Picture:
    """Broad stripes over half the field, lit and not."""
    lines = (np.arange(size[1]) * 8 // size[1]) % 2 == 0
    return np.broadcast_to(255 * (lit & lines)[None, :, None], (*size, 3)).astype(np.uint8)


WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)
STROBES: dict[str, Draw] = {
    "black and white": _plain(WHITE, BLACK),
    "two greys": _plain((170, 170, 170), (120, 120, 120)),
    "red and black": _plain(RED, BLACK),
    "red and grey": _plain(RED, (128, 128, 128)),
    "a quarter": _quarter,
    "a moving quarter": _moving,
    "stripes on and off": _stripes,
}


def sequence(draw: Draw, hertz: float, rate: int, size: tuple[int, int] = FIELD) -> list[Picture]:
    """Return the pictures of a strobe."""
    halves = [int(i / rate * 2 * hertz + 1e-6) for i in range(int(SECONDS * rate))]
    return [draw(size, half % 2 == 1, half // 2) for half in halves]


def limited(pictures: Sequence[Picture], rate: int) -> list[Picture]:
    """Return what the limiter shows, sRGB as it came."""
    limiter = FlashLimiter(*pictures[0].shape[:2])
    return [to_srgb(limiter.limit(to_linear(picture), i / rate)) for i, picture in enumerate(pictures)]


def judge(python: str, pictures: Sequence[Picture], rate: int) -> Verdict:
    """Return the oracle's verdict. Raises BenchError when it has none."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pictures.npy"
        np.save(file, np.stack(pictures))
        command = [python, str(SCRIPT), str(file), str(rate)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)  # noqa: S603
    if done.returncode:
        raise BenchError(f"{ORACLE}={python} cannot judge: {done.stderr.strip()[-300:]}")
    return Verdict(**json.loads(done.stdout.splitlines()[-1]))


def cost(size: tuple[int, int]) -> float:
    """Return the median milliseconds of a frame of a strobe, the limiter's worst case."""
    limiter = FlashLimiter(*size)
    noise = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    dark = np.zeros_like(noise)
    taken = []
    for i in range(COSTED):
        begun = time.perf_counter()
        limiter.limit(dark if i // 3 % 2 else noise, i / 60)
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken[COSTED // 3 :]) * MS)


def rows(python: str, rates: Sequence[int], hertz: Sequence[float]) -> list[Row]:
    """Return all strobes that the rates can show, judged."""
    found = []
    for name, draw in STROBES.items():
        for rate in rates:
            for speed in (one for one in hertz if 2 * one <= rate):
                pictures = sequence(draw, speed, rate)
                before, after = judge(python, pictures, rate), judge(python, limited(pictures, rate), rate)
                found.append(Row(name, speed, rate, before, after))
    return found


def table(found: Sequence[Row]) -> str:
    """Return the verdicts for people: transitions of luminance and red in brackets."""
    lines = [("strobe", "Hz", "frames/s", "before", "after")]
    lines += [(r.strobe, f"{r.hertz:g}", str(r.rate), _told(r.before), _told(r.after)) for r in found]
    return columns(lines)


def _told(one: Verdict) -> str:
    return f"{one.verdict} ({one.luminance}, {one.red})"


def main(words: list[str] | None = None) -> int:
    """Judge, print a table and a line of JSON; return 0, or EXIT_FAILS where the limiter lets something fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="frames per second")
    parser.add_argument("--hertz", type=float, nargs="+", default=HERTZ, help="flashes per second")
    arguments = parser.parse_args(words)
    python = os.environ.get(ORACLE)
    if not python:
        print(f"{ORACLE} names no python with iris-pse-detection: no verdicts", file=sys.stderr)
    found = rows(python, arguments.rates, arguments.hertz) if python else []
    costs = {f"{width}x{height}": round(cost((height, width)), 2) for height, width in SIZES}
    if found:
        print(table(found))
    print("\n".join(f"limiting {size}: {ms:g} ms a frame" for size, ms in costs.items()))
    print(json.dumps({"rows": [asdict(row) for row in found], "ms": costs}))
    return EXIT_FAILS if any(row.after.verdict.endswith("Fail") for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
