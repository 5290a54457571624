/**
 * The mixdown: sound of several channels becomes one, and none of them is lost to the others.
 *
 * The mean of the channels, unless it lies far below the loudest of them: phase-inverted stereo, one live channel of
 * eighteen, a dead channel beside a live one. Then the loudest is taken alone. Twin of runtime/sound/channels.py, with the
 * same numbers; no browser is needed.
 */

export const BLOCK_RATE = 100; // blocks a second: what is decided and crossfaded at once

const SMOOTHING = 0.4; // s, time constant of the powers that are compared
const KEPT = Math.exp(-1 / (SMOOTHING * BLOCK_RATE)); // of the smoothed power, from block to block
const FAR = 10 ** -0.6; // of power, 6 dB: so far below the loudest channel the mean is given up,
const NEAR = 10 ** -0.3; // and 3 dB: so near the taken channel it is taken again
const AUDIBLE = 1e-9; // mean square, −90 dBFS: while the loudest channel is below, nothing changes

/** Mean square of a block without its offset, which is no sound. @param {Float32Array} block */
function power(block) {
  let [sum, square] = [0, 0];
  for (let index = 0; index < block.length; index += 1) sum += block[index];
  const offset = sum / block.length;
  for (let index = 0; index < block.length; index += 1) square += (block[index] - offset) ** 2;
  return square / block.length;
}

function mean(parts) {
  const sums = new Float64Array(parts[0].length);
  for (const part of parts) {
    for (let index = 0; index < part.length; index += 1) sums[index] += part[index];
  }
  const mixed = new Float32Array(sums.length);
  for (let index = 0; index < sums.length; index += 1) mixed[index] = sums[index] / parts.length;
  return mixed;
}

/** Mixes blocks of 10 ms of one source; owns which channel is taken, and the crossfade to it. */
export class Mixdown {
  /** @param {number} channels  that every block has */
  constructor(channels) {
    /** Channel that is taken alone, counted from 1; null: the mean of all. */
    this.taken = null;
    this.powers = new Float64Array(channels + 1); // smoothed mean squares: of each channel, then of the mean
    this.kept = 0; // share of them that the next block leaves; the first one leaves nothing
  }

  /** How far the mean lies below the taken channel, dB; 0 while the mean is taken. */
  get loss() {
    return this.taken === null ? 0 : 10 * Math.log10(this.powers[this.taken - 1] / this.powers.at(-1));
  }

  /** A whole block as one channel; a change crossfades over it. @param {Float32Array[]} parts  a channel each, finite */
  mix(parts) {
    if (parts.length === 1) return parts[0];
    const middle = mean(parts);
    this._listen([...parts, middle]);
    const before = this.taken;
    this.taken = this._choice();
    const [old, now] = [before, this.taken].map((taken) => (taken === null ? middle : parts[taken - 1]));
    if (before === this.taken) return now;
    return now.map((sample, index) => old[index] + ((index + 1) / now.length) * (sample - old[index]));
  }

  _listen(parts) {
    parts.forEach((part, index) => {
      const found = power(part);
      this.powers[index] = found + this.kept * (this.powers[index] - found);
    });
    this.kept = KEPT;
  }

  _choice() {
    const channels = this.powers.subarray(0, -1);
    const top = Math.max(...channels);
    if (top < AUDIBLE) return this.taken;
    const [middle, loudest] = [this.powers.at(-1), channels.indexOf(top) + 1];
    const afresh = middle < FAR * top ? loudest : null;
    if (this.taken === null) return afresh;
    const own = channels[this.taken - 1];
    const isNear = middle >= NEAR * own;
    if (own < FAR * top) return isNear ? afresh : loudest;
    return isNear ? null : this.taken;
  }
}
