/**
 * Pacing of pictures: how much of the newest one is shown at a time of the screen.
 *
 * Pictures come 5 to 30 times a second, screens show 60 or more. A new picture therefore grows over what is shown, for
 * as long as pictures are usually apart, and is there in full when the next one comes: at most one interval late. Where
 * none comes, the newest stays; where they come again, the next one grows from what is shown then. Nothing ever leaps.
 * Without WebGL and clock; `clavilux.runtime.output.pictures` is its twin for films, with the same numbers.
 */

export const FIRST_MS = 50; // between pictures, before any have come
export const MAX_INTERVAL_MS = 400; // what grows for longer is late
const MIN_INTERVAL_MS = 4;
const SMOOTHING = 0.25; // of each new interval in the usual one
const STALL = 2; // an interval counts for at most so many usual ones: a stall is none

/** Share of the newest picture over the one before. Times are ms of the screen's clock. */
export class Pacing {
  constructor() {
    this.interval = FIRST_MS; // usual time between pictures
    this._made = null; // the last picture's own time
    this._since = null; // when the newest began to grow; null: there is none
    this._held = null; // the share that is held
  }

  /**
   * A picture has come. Returns the share of the one before that was shown just now: what is shown then is where the new
   * one grows from. `madeAt`, in ms of any clock, paces better than the time of coming, which the network disturbs.
   */
  arrive(now, madeAt = now) {
    const shown = this.share(now);
    if (this._made !== null && madeAt > this._made) this._learn(madeAt - this._made);
    this._made = madeAt;
    // The first one is there at once; there is nothing that it could grow from.
    this._since = this._since === null ? now - MAX_INTERVAL_MS : now;
    if (this._held !== null) this._held = 0;
    return shown;
  }

  _learn(interval) {
    const counted = Math.min(Math.max(interval, MIN_INTERVAL_MS), STALL * this.interval, MAX_INTERVAL_MS);
    this.interval += SMOOTHING * (counted - this.interval);
  }

  /** How much of the newest picture is shown, 0 to 1. */
  share(now) {
    if (this._held !== null) return this._held;
    if (this._since === null) return 1;
    return Math.min(Math.max((now - this._since) / this.interval, 0), 1);
  }

  /** Keep what is shown as it is (freeze). */
  hold(now) {
    this._held ??= this.share(now);
  }

  /** Go on from what is held. */
  release(now) {
    if (this._held === null) return;
    if (this._since !== null) this._since = now - this._held * this.interval;
    this._held = null;
  }

  /** Another session's times are of another clock. */
  forget() {
    this._made = null;
  }
}
