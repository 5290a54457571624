/**
 * High-pass of what the level meter shows, so that neither an offset nor rumble looks like sound: Butterworth's of second
 * order at 30 Hz, the numbers of `clavilux.runtime.hearing.high_pass`.
 */

const CUTOFF = 30; // Hz

/** One stream's filter. */
export class HighPass {
  /** @param {number} rate  samples per second */
  constructor(rate) {
    this.rate = rate;
    const warped = Math.tan((Math.PI * CUTOFF) / rate);
    this.scale = 1 / (1 + Math.SQRT2 * warped + warped ** 2);
    this.poles = [2 * this.scale * (warped ** 2 - 1), this.scale * (1 - Math.SQRT2 * warped + warped ** 2)];
    this.state = null; // before any sound
  }

  /** Take the next samples; return them without what lies below. @param {Float32Array} samples */
  push(samples) {
    const [first, second] = this.poles;
    const { scale } = this;
    // it counts as having stood at its first value for ever: an offset makes no click
    let [one, two] = this.state ?? [-samples[0] * scale, samples[0] * scale];
    const passed = new Float32Array(samples.length);
    for (let k = 0; k < samples.length; k += 1) {
      const sample = samples[k];
      const out = scale * sample + one;
      one = -2 * scale * sample - first * out + two;
      two = scale * sample - second * out;
      passed[k] = out;
    }
    this.state = [one, two];
    return passed;
  }
}
