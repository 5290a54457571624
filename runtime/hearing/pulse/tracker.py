"""Pulse tracker: sound in, readings out, a hundred a second; no clock, no threads, nothing after the sound's end."""

import numpy as np

from clavilux.runtime.hearing.pulse.bands import Bands
from clavilux.runtime.hearing.pulse.beat import BeatTracker
from clavilux.runtime.hearing.pulse.filters import BANK, COUNT
from clavilux.runtime.hearing.pulse.onset import LOW_BANDS, Flux, Onsets
from clavilux.runtime.hearing.pulse.pitch import Pitch
from clavilux.runtime.hearing.pulse.spectrum import Step, Steps
from clavilux.runtime.hearing.pulse.timbre import Timbre
from clavilux.runtime.pulse import Pulse
from clavilux.runtime.sound.samples import Samples


class PulseTracker:
    """Readings of one stream, whichever pieces it comes in."""

    def __init__(self) -> None:
        self._steps = Steps()
        self._bands = Bands()
        self._timbre = Timbre()
        self._pitch = Pitch()
        self._flux = Flux()
        self._onsets = Onsets()
        self._beat = BeatTracker()
        self._index = 0

    def push(self, samples: Samples) -> list[Pulse]:
        """Take float32 [n] at 16 kHz in -1 to 1; return a reading for each 10 ms that became whole."""
        return [self._read(step) for step in self._steps.push(samples)]

    def _read(self, step: Step) -> Pulse:
        bands = BANK @ step.power
        loudness = self._bands.push(step.power)
        self._timbre.push(np.sqrt(step.power), bands, loudness.decibels[0])
        self._pitch.push(step.history)
        growth = self._flux.push(bands)
        whole = float(growth.sum()) / COUNT
        onset = self._onsets.push(whole)
        beat = self._beat.push(whole + float(growth[:LOW_BANDS].sum()) / LOW_BANDS)
        level, low, mid, high = loudness.levels
        level_db, low_db, mid_db, high_db = loudness.decibels
        self._index += 1
        return Pulse(
            index=self._index - 1,
            level=level,
            low=low,
            mid=mid,
            high=high,
            level_db=level_db,
            low_db=low_db,
            mid_db=mid_db,
            high_db=high_db,
            brightness=self._timbre.brightness,
            noisiness=self._timbre.noisiness,
            harmonicity=self._pitch.harmonicity,
            pitch_class=self._pitch.pitch_class,
            pitch_height=self._pitch.height,
            pitch_confidence=self._pitch.confidence,
            onset=onset,
            density=self._onsets.density,
            tempo=beat.tempo,
            beat_phase=beat.phase,
            beat_confidence=beat.confidence,
            next_beat=beat.next,
        )
