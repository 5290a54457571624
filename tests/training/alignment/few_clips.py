"""A folder of few short tones with captions, as small as a data set can be; and `clavilux train` on it, in seconds."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from clavilux import command

RATE = 16_000
CLIPS = 12
CAPTIONS = 4


@dataclass(frozen=True)
class Done:
    """Code and output that a command left behind."""

    code: int
    out: str
    err: str


def tone(seconds: float = 0.5, hertz: float = 440.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Return a tone in faint noise, float32 [n]."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * noise).astype(np.float32)


def write_manifest(folder: Path, lines: list[dict[str, object]]) -> Path:
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_clips(folder: Path, *, split: bool = True) -> Path:
    """Write CLIPS tones of 0.5 to 1 s with CAPTIONS captions; the last three are the test's where `split` says so."""
    folder.mkdir(parents=True)
    lines: list[dict[str, object]] = []
    for i in range(CLIPS):
        soundfile.write(folder / f"{i}.wav", tone(0.5 + i / 24, 200 + 150 * (i % CAPTIONS), seed=i), RATE)
        line: dict[str, object] = {"audio": f"{i}.wav", "caption": f"tone {i % CAPTIONS}"}
        lines.append(line | ({"split": "test" if i >= CLIPS - 3 else "train"} if split else {}))
    return write_manifest(folder, lines)


def words(checkpoints: Path, out: Path, *more: str | Path) -> list[str]:
    """Return the words of a training of three epochs with two steps each, on a tiny encoder."""
    models = ["--text", checkpoints / "pipeline", "--encoder", checkpoints / "encoder", "--tokens", "8"]
    pace = ["--batch", "3", "--accumulation", "2", "--epochs", "3", "--rate", "1e-3", "--warmup", "2"]
    return ["train", *(str(word) for word in (out, *models, *pace, "--log-every", "1", *more))]


def run(*arguments: str | Path) -> Done:
    """Run a command in this process."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            code = command.main([str(word) for word in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def mistake(*arguments: str | Path) -> str:
    """Run a command that must fail as a mistake does; return its last line."""
    done = run(*arguments)
    assert done.code == 2, done
    return done.err.strip().splitlines()[-1]
