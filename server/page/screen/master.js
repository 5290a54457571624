/**
 * Master: brightness of everything, from its fader, the fade to black, blackout and panic, as one factor of linear light.
 *
 * The same numbers as `clavilux.runtime.output.master`, whose words say what the curve is and why.
 */

export const GLIDE = 0.08; // s, in which the fader's level follows its hand by 63 %
const GAMMA = 2.4; // lightness to linear light

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
    this._open = blackout || panic ? Math.max(this._open - step, 0) : Math.min(this._open + step, 1);
    return this._level * this._open ** GAMMA;
  }
}
