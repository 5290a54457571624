"""Light in two languages: the state and the sheets give the same numbers in Python and, under node, in JavaScript."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.output import light_sheets
from clavilux.runtime.output.light_state import LightState, light_amount, light_mask
from clavilux.runtime.pulse import Pulse
from clavilux.server.settings import PAGE

NODE = shutil.which("node")
HERE = Path(__file__).parent
CLOSE = 1e-6


@pytest.fixture(scope="module")
def readings() -> list[dict[str, Any]]:
    """Return readings that jump about, at uneven times; some tell their onset apart."""
    dice = np.random.default_rng(3)
    made = []
    for index in range(150):
        values = dict(zip(asdict(Pulse()), dice.random(21).tolist(), strict=True))
        values |= {"index": index // 2, "level_db": dice.uniform(-70, 0)}
        reading = {"pulse": values, "seconds": dice.exponential(0.03), "amount": dice.random()}
        made.append(reading | ({"onset": dice.random()} if index % 5 == 0 else {}))
    return made


@pytest.fixture(scope="module")
def points() -> list[list[float]]:
    return (np.random.default_rng(4).random((50, 5)) * [1, 1, 2, 1.2, 3]).tolist()


@pytest.fixture(scope="module")
def other(readings, points, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what JavaScript makes of them. The modules lie in a folder that says that they are modules."""
    assert NODE, "no Node.js here; `bash .ci/run` installs it"
    folder = tmp_path_factory.mktemp("light")
    (folder / "package.json").write_text('{"type": "module"}')
    for file in (*PAGE.glob("screen/light_s*.js"), HERE / "light_twin.mjs"):
        shutil.copy(file, folder)
    told = json.dumps({"readings": readings, "points": points})
    run = subprocess.run([NODE, folder / "light_twin.mjs"], input=told, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def leaves(value: Any) -> Iterator[float]:
    """Give all numbers in a nest of lists and dictionaries, sorted by their keys."""
    if isinstance(value, dict):
        for _, part in sorted(value.items()):
            yield from leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def test_settings_and_sheets_are_the_same(readings, other):
    state = LightState()
    for reading, theirs in zip(readings, other["shown"], strict=True):
        options = {name: reading[name] for name in ("amount", "onset") if name in reading}
        ours = state.advance(Pulse(**reading["pulse"]), reading["seconds"], **options)
        sheets = [asdict(sheet) for sheet in light_sheets.sheets(ours)]
        mine = {"settings": asdict(ours), "sheets": sheets, "rise": light_sheets.rise(ours)}
        assert list(leaves(theirs)) == pytest.approx(list(leaves(mine)), abs=CLOSE)


def test_draws_are_the_same(other):
    assert other["dice"] == [light_sheets.dice(i * 7919) for i in range(500)]


def test_amounts_masks_and_colours_are_the_same(points, other):
    for (light, known, x, y, hue), theirs in zip(points, other["parts"], strict=True):
        field, rim = light_amount(light, known)
        assert theirs == pytest.approx([field, rim, light_mask(x, y, field, rim), *light_sheets.colour(hue)], abs=CLOSE)
