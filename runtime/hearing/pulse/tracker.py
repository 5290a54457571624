"""Pulse tracker: sound in, readings out, a hundred a second; no clock, no threads, nothing after the sound's end."""

import numpy as np

from clavilux.runtime.hearing.pulse.bands import Bands
from clavilux.runtime.hearing.pulse.beat import BeatTracker
from clavilux.runtime.hearing.pulse.filters import BANK, WIDTHS
from clavilux.runtime.hearing.pulse.onset import BEAT_GAIN, ONSET_GAIN, Flux, Onsets, beat_flux, flux
from clavilux.runtime.hearing.pulse.pitch import Pitch
from clavilux.runtime.hearing.pulse.spectrum import Step, Steps
from clavilux.runtime.hearing.pulse.timbre import Timbre
from clavilux.runtime.pulse import PULSE_RATE, PULSE_STEP, Pulse
from clavilux.runtime.sound.samples import Samples


class PulseTracker:
    """Readings of one stream, whichever pieces it comes in."""

    def __init__(self) -> None:
        self._steps = Steps()
        self._bands = Bands()
        self._timbre = Timbre()
        self._pitch = Pitch()
        self._flux = Flux(ONSET_GAIN)
        self._beat_flux = Flux(BEAT_GAIN)
        self._onsets = Onsets()
        self._beat = BeatTracker()
        self._index = 0

    def push(self, samples: Samples) -> list[Pulse]:
        """Take float32 [n] at 16 kHz in -1 to 1; return a reading for each 10 ms that became whole."""
        return [self._read(step) for step in self._steps.push(samples)]

    def pause(self, seconds: float, counted: int = 0) -> None:
        """Take that nothing was heard for so long: it is silence, of which there are no readings.

        `counted` is how many of them the count of readings goes on by all the same.
        """
        index = self._index
        self.push(np.zeros(round(seconds * PULSE_RATE) * PULSE_STEP, np.float32))
        self._index = index + counted

    def tap(self, index: int) -> None:
        """Take that a beat is at the end of reading `index`: somebody tapped.

        A tap is often newer than the newest sound, which has been on its way; one further ahead than a second counts as
        so far.
        One tap corrects the phase; three or more, evenly spaced, the tempo too.
        """
        newest = self._index - 1
        self._beat.tap(max(-PULSE_RATE, newest - index), newest)

    def _read(self, step: Step) -> Pulse:
        bands = BANK @ step.power
        loudness = self._bands.push(step.power)
        self._timbre.push(np.sqrt(step.power), bands, loudness.decibels[0])
        self._pitch.push(step.history)
        magnitude = np.sqrt(bands / WIDTHS)
        onset = self._onsets.push(flux(self._flux.push(magnitude)))
        self._beat.push(beat_flux(self._beat_flux.push(magnitude)))
        clock = self._beat.clock
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
            tempo=clock.tempo,
            beat_phase=clock.phase,
            beat_confidence=self._beat.confidence,
            next_beat=clock.next,
        )
