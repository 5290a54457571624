/**
 * Meters of the pulse: three bands, and the beat with its tempo. Readings come a hundred times a second and cost nothing;
 * what is drawn is the newest of them, once per refresh of the screen.
 *
 * Fed by `Readouts.pulse(reading)`, with the names of clavilux.runtime.pulse. Hidden until there is a first reading.
 */

const BANDS = ['low', 'mid', 'high'];
const BAND_FALL = 3; // of the bar's length, per second
const BEAT_SURE = 0.3; // confidence from which the beat is shown as one
const STALE_MS = 1000;
const PER_SECOND = 1000;

function element(id) {
  return document.getElementById(id);
}

/** Draws the newest reading. */
export class PulseMeters {
  constructor() {
    this.reading = null;
    this.at = -Infinity;
    this.bars = Object.fromEntries(BANDS.map((band) => [band, 0]));
    this.loudest = { ...this.bars };
    this.drawnAt = 0;
  }

  /** Take a reading; between two refreshes the loudest counts. @param {object} reading  a Pulse */
  note(reading) {
    this.reading = reading;
    this.at = performance.now();
    for (const band of BANDS) this.loudest[band] = Math.max(this.loudest[band], reading[band]);
  }

  draw(now) {
    if (!this.reading) return;
    const passed = (now - this.drawnAt) / PER_SECOND;
    this.drawnAt = now;
    if (element('pulse').hidden) element('pulse').hidden = false;
    for (const band of BANDS) {
      this.bars[band] = Math.max(this.loudest[band], this.bars[band] - BAND_FALL * passed, 0);
      element(`band-${band}`).style.transform = `scaleX(${this.bars[band].toFixed(3)})`;
      this.loudest[band] = 0;
    }
    this._beat(now);
  }

  _beat(now) {
    const { tempo, beat_phase: phase, beat_confidence: confidence } = this.reading;
    const known = tempo > 0 && now - this.at < STALE_MS;
    const light = known ? (1 - phase) ** 2 * Math.min(1, confidence / BEAT_SURE) : 0;
    element('beat-light').style.opacity = light.toFixed(2);
    const text = known ? `${Math.round(tempo)} bpm${confidence < BEAT_SURE ? '?' : ''}` : 'no beat yet';
    if (text !== this.text) element('tempo').value = this.text = text;
  }
}
