/**
 * The show: pictures, the pulse and the parameters become what is on the screen, at each of its refreshes.
 *
 * The pulse is that of this page's own sound where it has some, which waits for no server, and the stage's otherwise.
 */

import { Modulator } from './modulation.js';
import { Screen } from './screen/screen.js';

const REFRESH_S = 1 / 60; // between a draw and the light of it
const QUIET_MS = 500; // without a reading, after which nothing sounds
const KNOWN_S = 0.25; // time constant of the confidence, which comes twice a second
const NOTHING = Object.freeze({
  index: -1, level: 0, low: 0, mid: 0, high: 0, level_db: -120, low_db: -120, mid_db: -120, high_db: -120,
  brightness: 0, noisiness: 0, harmonicity: 0, pitch_class: 0, pitch_height: 0, pitch_confidence: 0, onset: 0,
  density: 0, tempo: 0, beat_phase: 0, beat_confidence: 0, next_beat: 0,
});

/** What a stage shows on one canvas. `values` and `ranges` are parameters by name, as the server tells them. */
export class Show {
  /** @param {HTMLCanvasElement} canvas @param {HTMLCanvasElement} glow @param {object} options  of `Screen` */
  constructor(canvas, glow, options) {
    this.screen = new Screen(canvas, glow, options);
    this.modulator = new Modulator();
    this._values = null;
    this.ranges = {};
    /** How many ms this screen is late, cables and all: what is tied to the beat is drawn so much earlier. */
    this.offset = 0;
    this.reading = NOTHING;
    /** Called with every reading. */
    this.onreading = () => {};
    this._known = 0;
    this._aim = 0;
    this._onset = 0;
    this._felt = -Infinity;
    this._drawn = null;
    this._own = -Infinity; // when this page's own sound was last felt
  }

  /** Parameters by name, as the server tells them and this page has changed them; what is new does not wait. */
  get values() {
    return this._values;
  }

  set values(values) {
    this._values = values;
    this.screen.wake();
  }

  /**
   * Take readings of the pulse, the first of which ended at local ms `heard`.
   * @param {object[]} readings @param {number} heard @param {{own?: boolean}} source  own: of this page's sound
   */
  feel(readings, heard, { own = false } = {}) {
    const now = performance.now();
    const at = Number.isFinite(heard) ? heard : now; // the server's clock is not known before its first answer
    if (own) this._own = now;
    else if (now - this._own < QUIET_MS) return;
    this._felt = now;
    readings.forEach((reading, k) => {
      this.reading = reading;
      this._onset = Math.max(this._onset, reading.onset);
      if (reading.onset > 0) this.screen.wake(); // rhythm does not wait; what glides may
      if (this.values?.react !== undefined) this.modulator.feel(reading, this.values, at / 1000 + k / 100);
      this.onreading(reading);
    });
  }

  /**
   * Show a frame. Resolves with the local ms at which it reached the screen, 0 when it did not. Those of a blackout are
   * black, which is the master's work here: it has a fade, and does not wait for the engine.
   */
  async show(frame) {
    return this.dark && this.screen.seen && !this.screen.plain ? 0 : this.screen.show(frame);
  }

  get dark() {
    return Boolean(this.values?.blackout || this.values?.panic);
  }

  /** Learn how sure the stage is of what it hears, 0 to 1. */
  know(known) {
    this._aim = known;
  }

  /** Whether drawing shall wait: where a program draws, it leaves time to others. */
  resting(now) {
    return now < this.screen.restUntil;
  }

  /** Draw what is to be seen at `now`, ms as requestAnimationFrame tells it. */
  draw(now) {
    const passed = this._drawn === null ? 0 : Math.min(1, Math.max(0, (now - this._drawn) / 1000));
    this._drawn = now;
    if (this.values?.react === undefined) return; // nothing has been heard of the stage yet
    if (now - this._felt > QUIET_MS) this.reading = NOTHING; // routes let go by themselves: `Modulator`
    this._known += (1 - Math.exp(-passed / KNOWN_S)) * (this._aim - this._known);
    const ahead = REFRESH_S + this.offset / 1000;
    const moved = this.modulator.move(this.values, this.ranges, now / 1000, { known: this._known, ahead });
    this.screen.draw(now, moved, this.reading, { onset: this._onset, known: this._known });
    this._onset = 0;
  }
}
