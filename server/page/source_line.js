/** One line on what the source of sound does, where it does not simply play: quiet, stalled, lost, none; and what is wrong. */

const PAUSE_MS = 3000; // up to which quiet is a pause, which nobody needs to read about

const STATES = {
  quiet: ({ gate }) => `quiet: all of it is below ${decibels(gate)}`,
  stalled: () => 'no sound comes any more',
  lost: () => 'the server’s sound card is gone; it is looked for',
  none: () => 'nobody sounds',
};
const WARNINGS = {
  clipped: 'it clips: turn the source down',
  faint: 'it is very faint: turn the source up, or the gain',
};

const OF_A_FILE = { faint: 'it is very faint: turn the gain up' };

function decibels(level) {
  return `${Math.round(level)} dB`.replace('-', '−');
}

/** Words for one status after the other. */
export class SourceLine {
  constructor() {
    this.reset();
  }

  /** Forget what was, and say nothing: another source begins, or this one rests. */
  reset() {
    this.quietSince = null; // ms
    return '';
  }

  /**
   * The line for a status that came at `now`, ms.
   * @param {{source?: string, gate?: number, warnings?: string[], taken?: number|null, channels?: object[]}} status
   * @param {?{sounding: boolean, isFile: boolean}} own  the page's own sound, which tells of its channels and of clipping
   *   itself, and is neither quiet nor faint while it is held; null: another's
   */
  tell(status, own, now) {
    const { source, warnings = [], taken = null, channels = [] } = status;
    if (own && !own.sounding) return this.reset();
    this.quietSince = source === 'quiet' ? (this.quietSince ?? now) : null;
    const isPause = this.quietSince !== null && now - this.quietSince < PAUSE_MS;
    const state = isPause ? '' : STATES[source]?.(status) ?? '';
    const words = own ? { ...WARNINGS, clipped: '', ...(own.isFile && OF_A_FILE) } : WARNINGS;
    const wrong = warnings.map((warning) => words[warning] ?? warning);
    const alone = own || taken === null ? '' : `channel ${taken} of ${channels.length} alone: the mean would lose it`;
    return [state, alone, ...wrong].filter(Boolean).join('; ');
  }
}
