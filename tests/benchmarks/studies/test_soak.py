"""Soak: whose memory is counted, and what is told of it; the soaking itself needs a browser and half an hour."""

import os
from pathlib import Path

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies.soak import PROCESSES, Look, anonymous_mb, figures, pages_of


def process(folder: Path, number: int, parent: int, words: str) -> None:
    """Write a process as Linux tells it; the name of its program may hold anything."""
    own = folder / str(number)
    own.mkdir()
    (own / "stat").write_text(f"{number} (chr) o) S {parent} 1 1 0")
    (own / "cmdline").write_text(words)


def test_pages_are_the_renderers_below_a_browser_however_deep(tmp_path: Path):
    (tmp_path / "meminfo").write_text("")
    process(tmp_path, 10, 1, "chromium\0--headless")
    process(tmp_path, 11, 10, "chromium --type=zygote")
    process(tmp_path, 12, 11, "chromium --type=renderer")
    process(tmp_path, 13, 11, "chromium --type=gpu-process")
    process(tmp_path, 14, 1, "chromium --type=renderer")
    assert pages_of(10, tmp_path) == [tmp_path / "12"]
    with pytest.raises(BenchError, match="no page of Chromium"):
        pages_of(13, tmp_path)


def test_memory_of_its_own_is_what_linux_calls_anonymous(tmp_path: Path):
    (tmp_path / "smaps_rollup").write_text("Rss:  900 kB\nAnonymous:  512 kB\nAnonHugePages: 0 kB\n")
    assert anonymous_mb(tmp_path) == 0.512
    assert anonymous_mb(tmp_path / "ended") == 0


@pytest.mark.skipif(not (PROCESSES / "self" / "smaps_rollup").exists(), reason="only Linux tells it")
def test_this_process_has_memory_of_its_own():
    held = bytearray(os.urandom(1000) * 50_000)
    assert anonymous_mb(PROCESSES / "self") > len(held) / 1e6


def test_first_least_most_and_last_are_told():
    looks = [Look(0.5, 300, 120), Look(1.0, 301, 180), Look(1.5, 300.4, 110)]
    assert figures(looks) == {"minutes": 1.5, "server": [300, 300, 301, 300], "page": [120, 110, 180, 110]}
    with pytest.raises(BenchError, match="not one look"):
        figures([])
