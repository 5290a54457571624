"""The study of the pulse without a synthesiser: its songs and its scores."""

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from clavilux.benchmarks.studies import pulse, pulse_songs
from clavilux.runtime.pulse import Pulse


def readings(beats: np.ndarray, seconds: float) -> list[Pulse]:
    """Return what a perfect tracker tells of even beats."""
    period = float(beats[1] - beats[0])
    ends = (np.arange(round(seconds * 100)) + 1) / 100
    phases = (ends - beats[0]) / period % 1
    return [
        Pulse(index=k, tempo=60 / period, beat_phase=float(phase), onset=float(k % 50 == 0))
        for k, phase in enumerate(phases)
    ]


@pytest.mark.parametrize("kind", pulse_songs.KINDS)
def test_a_song_is_the_same_for_the_same_seed_alone(kind: str):
    make = pulse_songs.KINDS[kind]
    assert make(3).notes == make(3).notes
    assert make(3).notes != make(5).notes


def test_beats_are_told_where_the_phase_begins_anew():
    song = pulse_songs.steady(1)
    told = pulse.told_beats(readings(song.beats, 30))
    assert (
        np.abs(told - song.beats[: len(told)]).max() < 1e-6 or np.abs(told - song.beats[1 : len(told) + 1]).max() < 1e-6
    )


def test_a_perfect_tracker_scores_one_and_its_double_is_another_level():
    song = pulse_songs.steady(1)
    right = pulse.score(song, readings(song.beats, 36), 0.0)
    assert (right.beats, right.octave) == (pytest.approx(1), False)
    between = np.sort(np.concatenate([song.beats, song.beats[:-1] + np.diff(song.beats) / 2]))
    double = pulse.score(song, readings(between, 36), 0.0)
    assert double.beats < 0.7
    assert double.octave


def test_the_time_to_lock_counts_from_the_jump_to_beats_in_a_row():
    truth = np.arange(0.0, 20.0, 0.5)
    found = np.concatenate([truth[truth < 8], truth[truth >= 11], [8.5]])
    assert pulse.lock_time(truth, found, 8.0) == 3.0


def test_a_midi_file_holds_every_note_when_it_is_played(tmp_path: Path):
    song = pulse_songs.metronome(2)
    pulse_songs.write_midi(song, tmp_path / "song.mid")
    now, starts = 0.0, []
    for message in mido.MidiFile(tmp_path / "song.mid"):
        now += message.time
        if message.type == "note_on":
            starts.append(now)
    assert np.abs(np.array(starts) - sorted(note.time for note in song.notes)).max() < 0.001


def test_a_song_in_stereo_is_heard_as_one_in_mono(tmp_path: Path) -> None:
    song = np.random.default_rng(0).normal(0, 0.1, (2 * 44_100, 1))
    for channels in (1, 2):
        soundfile.write(tmp_path / f"{channels}.wav", song.repeat(channels, axis=1), 44_100)
    (mono, _), (stereo, cost) = (pulse.hear(tmp_path / f"{channels}.wav") for channels in (1, 2))
    assert stereo == mono
    assert len(stereo) > 100
    assert cost > 0
