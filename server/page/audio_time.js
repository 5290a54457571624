/** Pure arithmetic of sound that comes in packets: when they sounded, and how loud they are. */

const ARRIVALS = 512; // packets over which the audio clock is matched to the page's: five seconds
const SLIP_MS = 500; // a context that was paused, or starved, for longer than this has lost its match with the page's clock

/** What silence is, and all that is quieter, in dBFS. */
export const QUIETEST_DB = -120;

/** An amplitude in dBFS. @param {number} amplitude */
export function decibels(amplitude) {
  return amplitude > 0 ? Math.max(QUIETEST_DB, 20 * Math.log10(amplitude)) : QUIETEST_DB;
}

/** Loudness of one packet: {rms, peak} in dBFS. @param {Float32Array} samples */
export function loudness(samples) {
  let sum = 0;
  let peak = 0;
  for (const sample of samples) {
    sum += sample * sample;
    peak = Math.max(peak, Math.abs(sample));
  }
  return { rms: decibels(Math.sqrt(sum / samples.length)), peak: decibels(peak) };
}

/**
 * Matches the audio clock to `performance.now()`. Packets arrive late by chance but never early, so the least difference of
 * the last seconds is the true one; it needs no output device, unlike `getOutputTimestamp`.
 */
export class AudioTime {
  constructor() {
    this.differences = [];
  }

  /** Local ms at which audio time `seconds` passed, learning from its arrival at local ms `arrived`. */
  local(seconds, arrived) {
    const difference = arrived - 1000 * seconds;
    if (difference - Math.min(...this.differences) > SLIP_MS) this.differences = [];
    this.differences.push(difference);
    if (this.differences.length > ARRIVALS) this.differences.shift();
    return 1000 * seconds + Math.min(...this.differences);
  }

  /** Audio time, in seconds, at local ms `at`. */
  context(at) {
    return (at - Math.min(...this.differences)) / 1000;
  }
}
