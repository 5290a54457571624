/** Watches over what ought to come: packets of sound, with anything in them, and messages of the server. Pure. */

const QUIET_LOOKS = 3; // in a row without a packet: one alone happens when a machine wakes up
const EMPTY_LOOKS = 10; // in a row with packets of zeros: no microphone is as still as that

const UNANSWERED_LOOKS = 6; // in a row without a message, of which a server sends two a second

export const WATCH_MS = 1000; // between two looks
export const ANSWER_MS = 500; // between two looks for an answer

/**
 * Whether a server answers, looked for twice a second. Looks are counted, not seconds: those of a page that was held up
 * come after the messages that wait for it.
 */
export class Answers {
  constructor() {
    this.newest = null; // local ms of the message that was the newest
    this.empty = 0; // looks in a row
  }

  get missing() {
    return this.empty >= UNANSWERED_LOOKS;
  }

  /**
   * Look; true if that has changed whether answers are missing.
   * @param {number} newest  local ms at which the newest message came
   * @param {boolean} expected  whether messages are to be expected, and this page's timers run as they should
   */
  look(newest, expected) {
    const before = this.missing;
    if (newest !== this.newest || !(expected || before)) this.empty = 0;
    else if (expected) this.empty += 1;
    this.newest = newest;
    return this.missing !== before;
  }
}

/** Whether packets of sound come: told of them and asked once a second. */
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
