/**
 * Levels, peaks and clipping of each channel of a source, for people who set gains. Twin of runtime/sound/meters.py, with
 * the same numbers; it runs in the AudioWorklet, and time is counted in blocks.
 */

import { QUIETEST_DB, decibels } from './audio_time.js';
import { BLOCK_RATE } from './mixdown.js';

const LEVEL_BLOCKS = BLOCK_RATE / 10; // under a level: 100 ms
const HOLD_BLOCKS = 1.5 * BLOCK_RATE; // that a peak stands
const FALL = 20 / BLOCK_RATE; // dB a block, 20 a second, that it falls after that
const LIGHT_BLOCKS = 3 * BLOCK_RATE; // that a clip light stays on
const FULL = 0.999; // of full scale, which a converter that clips reaches
const RUN = 3; // successive samples at it, of one sign, that are no chance

/** The meter of one channel. */
class ChannelLevel {
  constructor() {
    this.sums = new Float64Array(LEVEL_BLOCKS); // of the samples of the newest blocks,
    this.squares = new Float64Array(LEVEL_BLOCKS); // and of their squares
    this.samples = 0; // under the sums
    this.blocks = 0;
    this.peak = QUIETEST_DB;
    this.held = 0; // blocks since the peak was set
    this.light = -LIGHT_BLOCKS; // block in which it clipped last
    this.run = 0; // samples at full scale that it has just had, with their sign
  }

  /** Take one block. @param {Float32Array} block */
  push(block) {
    const place = this.blocks % LEVEL_BLOCKS;
    let [sum, square, highest] = [0, 0, 0];
    for (let index = 0; index < block.length; index += 1) {
      const sample = block[index];
      sum += sample;
      square += sample * sample;
      highest = Math.max(highest, Math.abs(sample));
    }
    this.blocks += 1;
    this.sums[place] = sum;
    this.squares[place] = square;
    this.samples = Math.min(this.blocks, LEVEL_BLOCKS) * block.length;
    this._show(decibels(highest));
    if (highest >= FULL) this._watch(block, highest);
    else this.run = 0;
  }

  /** dBFS, RMS of the last 100 ms without its offset. */
  get level() {
    const add = (sum, value) => sum + value;
    const offset = this.sums.reduce(add) / this.samples;
    return decibels(Math.sqrt(Math.max(0, this.squares.reduce(add) / this.samples - offset * offset)));
  }

  get clipped() {
    return this.blocks - this.light < LIGHT_BLOCKS;
  }

  _show(found) {
    if (this.held >= HOLD_BLOCKS) this.peak = Math.max(this.peak - FALL, QUIETEST_DB);
    this.held = found >= this.peak ? 0 : this.held + 1;
    this.peak = Math.max(found, this.peak);
  }

  _watch(block, highest) {
    let clips = highest > 1;
    for (const sample of block) {
      const sign = Math.abs(sample) >= FULL ? Math.sign(sample) : 0;
      this.run = sign === 0 || sign === -Math.sign(this.run) ? sign : this.run + sign;
      clips ||= Math.abs(this.run) >= RUN;
    }
    if (clips) this.light = this.blocks;
  }
}

/** The meters of one source. */
export class ChannelLevels {
  /** @param {number} channels */
  constructor(channels) {
    this.channels = Array.from({ length: channels }, () => new ChannelLevel());
  }

  /** Take one block of every channel. @param {Float32Array[]} parts */
  push(parts) {
    this.channels.forEach((channel, index) => channel.push(parts[index]));
  }

  /** [{level, peak, clipped}], a channel each, in dBFS. */
  read() {
    return this.channels.map(({ level, peak, clipped }) => ({ level, peak, clipped }));
  }
}
