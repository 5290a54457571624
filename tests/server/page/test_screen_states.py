"""The screen's state machines under node, and the films' pacing beside the page's."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from clavilux.runtime.output.pictures import Pacing
from clavilux.server.settings import PAGE

HERE = Path(__file__).parent
NODE = shutil.which("node")

# Reads [[ms, what], ...] and writes the share that is shown at each.
PLAY = """
import { Pacing } from '%s';
const pacing = new Pacing();
const shares = JSON.parse(process.argv[1]).map(([now, what]) => {
  if (what === 'arrive') pacing.arrive(now);
  if (what === 'hold') pacing.hold(now);
  if (what === 'release') pacing.release(now);
  return pacing.share(now);
});
console.log(JSON.stringify(shares));
"""


def run_node(*arguments: str | Path) -> str:
    assert NODE, "no Node.js here; `bash .ci/run` installs it"
    run = subprocess.run([NODE, *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_state_machines_pass_their_own_tests():
    run_node("--test", HERE / "screen.test.mjs")


@pytest.mark.parametrize("seed", range(3))
def test_films_and_the_page_pace_pictures_alike(seed: int, tmp_path: Path):
    shutil.copy(PAGE / "screen" / "pictures.js", tmp_path / "pictures.mjs")
    chance = random.Random(seed)
    now, played = 0.0, []
    for _ in range(400):
        now += chance.choice([3.0, 16.7, 33.0, 700.0])
        played.append((now, chance.choices(["look", "arrive", "hold", "release"], [10, 8, 1, 2])[0]))
    program = PLAY % (tmp_path / "pictures.mjs")
    theirs = json.loads(run_node("--input-type=module", "--eval", program, json.dumps(played)))
    pacing, ours = Pacing(), []
    for at, what in played:
        if what != "look":
            getattr(pacing, what)(at / 1000)
        ours.append(pacing.share(at / 1000))
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert sum(0 < share < 1 for share in ours) / len(ours) > 0.1
