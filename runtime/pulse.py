"""Pulse: what is heard now, in numbers between 0 and 1, a hundred times a second.

`clavilux.runtime.hearing.pulse` makes readings of the sound; routes (`clavilux.runtime.control.modulation`) and the
light (`clavilux.runtime.output.light`) are moved by them; viewers get them as tiny messages.
"""

from dataclasses import dataclass

PULSE_RATE = 100  # readings a second
PULSE_STEP = 160  # samples at 16 kHz between two readings
SILENCE_DB = -120.0  # dBFS; nothing is quieter


@dataclass(frozen=True)
class Pulse:
    """One reading. It knows the sound up to sample `PULSE_STEP * (index + 1)` at 16 kHz and nothing after it."""

    index: int = 0  # counts from the beginning of the stream
    level: float = 0.0  # loudness in its automatic range, 0 to 1
    low: float = 0.0  # loudness below 200 Hz, the same way
    mid: float = 0.0  # of 200 Hz to 2 kHz
    high: float = 0.0  # above 2 kHz
    level_db: float = SILENCE_DB  # dBFS, -120 to 0
    low_db: float = SILENCE_DB
    mid_db: float = SILENCE_DB
    high_db: float = SILENCE_DB
    brightness: float = 0.0  # spectral centroid on a scale of octaves, 0 at 100 Hz, 1 at 8 kHz
    noisiness: float = 0.0  # spectral flatness: 0 a tone, 1 white noise
    harmonicity: float = 0.0  # how much of the sound is harmonics of one pitch, 0 to 1
    pitch_class: float = 0.0  # the note in its octave: C is 0, each semitone 1/12
    pitch_height: float = 0.0  # octaves above A1 (55 Hz), over six: 1 at A7 (3520 Hz)
    pitch_confidence: float = 0.0  # 0 no pitch, 1 certain; class and height stay where they were when it falls
    onset: float = 0.0  # strength of an onset, in the one reading that tells it; otherwise 0
    density: float = 0.0  # onsets of the last seconds, 1 at ten a second
    tempo: float = 0.0  # beats per minute; 0 while none is known
    beat_phase: float = 0.0  # 0 on the beat, rising to 1 just before the next
    beat_confidence: float = 0.0  # 0 to 1
    next_beat: float = 0.0  # seconds from the end of this reading until the next beat is expected; 0 while none is
