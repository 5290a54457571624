/** One line on what the source of sound does, where it does not simply play: quiet, stalled, lost, none; and what is wrong with it. */

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

function decibels(level) {
  return `${Math.round(level)} dB`.replace('-', '−');
}

/**
 * The line for a status.
 * @param {{source?: string, gate?: number, warnings?: string[], taken?: number|null, channels?: object[]}} status
 * @param {boolean} own  whether the sound is this page's own, which tells of its channels and of clipping itself
 */
export function sourceLine(status, own) {
  const { source, warnings = [], taken = null, channels = [] } = status;
  const state = STATES[source]?.(status) ?? '';
  const told = warnings.filter((warning) => !(own && warning === 'clipped')).map((warning) => WARNINGS[warning] ?? warning);
  const alone = own || taken === null ? '' : `channel ${taken} of ${channels.length} alone: the mean would lose it`;
  return [state, alone, ...told].filter(Boolean).join('; ');
}
