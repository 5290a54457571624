/** Watches over packets that ought to come: whether any do, and whether there is anything in them. Pure. */

const QUIET_LOOKS = 3; // in a row without a packet: one alone happens when a machine wakes up
const EMPTY_LOOKS = 10; // in a row with packets of zeros: no microphone is as still as that

export const WATCH_MS = 1000; // between two looks

/** Told of packets and asked once a second. */
export class Watch {
  constructor() {
    this.packets = this.sounding = 0; // since the last look; those that are not all zeros
    this.quiet = this.empty = 0; // looks in a row
  }

  get stalled() {
    return this.quiet >= QUIET_LOOKS;
  }

  get blank() {
    return this.empty >= EMPTY_LOOKS;
  }

  /** A packet came; true if it ends a stall. @param {Float32Array} samples */
  note(samples) {
    const flows = this.stalled;
    this.quiet = 0;
    this.packets += 1;
    if (samples.some((sample) => sample !== 0)) this.sounding += 1;
    return flows;
  }

  /**
   * Look: {stalls, blanks, sounds}, what has begun since the last look: nothing comes, nothing but zeros, sound again.
   * @param {{runs: boolean, live: boolean}} expected  whether packets are to be expected, and anything in them
   */
  look({ runs, live }) {
    const before = { stalled: this.stalled, blank: this.blank };
    this.quiet = runs && this.packets === 0 ? this.quiet + 1 : 0;
    if (!live || this.sounding > 0) this.empty = 0;
    else if (this.packets > 0) this.empty += 1;
    this.packets = this.sounding = 0;
    return {
      stalls: this.stalled && !before.stalled,
      blanks: this.blank && !before.blank,
      sounds: before.blank && !this.blank,
    };
  }
}
