/**
 * Master: brightness of everything, from its fader, the fade to black, blackout and panic, as one factor of linear light.
 *
 * The same numbers as `clavilux.runtime.output.master`, whose words say what the curve is and why.
 */

export const GLIDE = 0.08; // s, in which the fader's level follows its hand by 63 %
const GAMMA = 2.4; // lightness to linear light
const TURN_REST = 0.5; // s between two turns of a gain that no flash limiter follows: one flash a second

/** Pure: it knows the time that passes, and no clock. It begins where it is asked to be. */
export class Master {
  constructor() {
    this._level = null; // of the fader, gliding; linear light
    this._open = 1; // 0 black, 1 open; lightness
  }

  /**
   * Let `seconds` pass; return the factor of linear light, 0 to 1. `master` is linear light, `fade` seconds from all to nothing.
   * @returns {number}
   */
  advance(seconds, { master = 1, fade = 0, blackout = false, panic = false } = {}) {
    const passed = Math.max(seconds, 0);
    if (this._level === null) {
      this._level = master;
      this._open = blackout || panic ? 0 : 1;
    }
    this._level += (master - this._level) * (1 - Math.exp(-passed / GLIDE));
    const step = fade > 0 ? passed / fade : 1;
    if (panic) this._open = 0;
    else this._open = blackout ? Math.max(this._open - step, 0) : Math.min(this._open + step, 1);
    return this._level * this._open ** GAMMA;
  }
}

/** A gain where no flash limiter comes after it: it goes at once, and turns round no more often than eyes can bear. */
export class CalmGain {
  constructor() {
    this._gain = null;
    this._rises = null; // whether it does; null before it has moved
    this._since = TURN_REST; // s since it turned
  }

  /** Let `seconds` pass; return the gain that is shown, 0 to 1, on its way to `wanted`. @returns {number} */
  advance(wanted, seconds) {
    this._gain ??= wanted;
    this._since += Math.max(seconds, 0);
    if (wanted === this._gain) return wanted;
    const rises = wanted > this._gain;
    if (rises !== this._rises) {
      if (this._since < TURN_REST) return this._gain;
      this._rises = rises;
      this._since = 0;
    }
    this._gain = wanted;
    return wanted;
  }
}

/** The opacity that shows a gain of linear light over black, in a browser that mixes sRGB as it is. */
export function opacity(gain) {
  return gain ** (1 / GAMMA);
}
