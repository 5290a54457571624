/**
 * Live sound from the browser, unprocessed: a microphone, or what a tab, a window or the whole system plays; and what to
 * say when there is none.
 *
 * A secure context (https or localhost) is assumed; `obstacle` says so when there is none.
 */

const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, voiceIsolation: false };
const NAMES = {
  echoCancellation: 'echo cancellation',
  noiseSuppression: 'noise suppression',
  autoGainControl: 'automatic gain',
  voiceIsolation: 'voice isolation',
};
const MANY = 32; // channels; every browser gives as many as it can, which is two in most

const REASONS = {
  NotAllowedError: 'The browser refused the microphone. Allow it for this page (the icon beside the address), then try again.',
  SecurityError: 'The browser forbids the microphone on this page. Allow it in its settings, then try again.',
  NotFoundError: 'No microphone was found. Plug one in, or play a sound file.',
  NotReadableError: 'The microphone does not answer: another program may hold it, or its cable is loose.',
  OverconstrainedError: 'The chosen input is not there any more. Choose another one.',
  InvalidStateError: 'The browser has closed its sound. Reload the page, then try again.',
};
const SHARING = {
  NotAllowedError: 'Nothing was shared. Choose a tab, and let the browser share its sound too.',
  NotFoundError: 'This browser found nothing to share. Play a sound file instead.',
  NotReadableError: 'The sound of what was chosen cannot be taken on this system. Choose a tab: a tab’s sound can.',
  SilentShareError:
    'What was shared has no sound. In Chrome and Edge choose a tab and tick “also share tab audio”; ' +
    'Firefox and Safari share pictures alone: play a file, or choose an input that carries the system’s sound.',
};

/** What a sound that does not run is, by the state of its audio context, in words for people. */
export const STATES = {
  suspended: 'The browser has paused the sound.',
  interrupted: 'Something else has taken the sound, a call perhaps. It goes on when that is over.',
  closed: 'The browser has closed the sound.',
};

/** Why this page cannot take sound at all, in words for people; null when it can. */
export function obstacle() {
  if (window.isSecureContext && navigator.mediaDevices) return null;
  return (
    `Browsers give the microphone only to safe pages, and ${location.origin} is not one. ` +
    'Open this page as http://localhost on the machine that runs Clavilux, or through https. ' +
    'Pictures and controls work here all the same.'
  );
}

/** What went wrong with the microphone, in words for people. @param {Error} error @param {string} id  of the chosen input */
export function explain(error, id) {
  if (error.name === 'OverconstrainedError' && !id) return REASONS.NotFoundError; // how WebKit says that there is none
  return REASONS[error.name] ?? `The microphone cannot be opened: ${error.message}`;
}

/** What went wrong with sharing, in words for people. @param {Error} error */
export function explainSharing(error) {
  return SHARING[error.name] ?? `The sound of a tab cannot be taken: ${error.message}`;
}

/** A microphone's stream. @param {string} deviceId  '' = the browser's choice */
export function openMicrophone(deviceId) {
  const wanted = deviceId ? { deviceId: { exact: deviceId } } : {};
  const audio = { ...RAW, channelCount: { ideal: MANY }, ...wanted };
  return navigator.mediaDevices.getUserMedia({ audio, video: false });
}

/** Whether this browser can be asked to share a tab; whether that comes with sound is known only then. */
export function canShare() {
  return Boolean(navigator.mediaDevices?.getDisplayMedia);
}

/** The sound of a tab or of the system, which goes on being heard. Call it in a click. */
export async function openShared() {
  const controller = 'CaptureController' in window ? new CaptureController() : null;
  controller?.setFocusBehavior('no-focus-change'); // or the tab comes to the front, and this page stops drawing
  const stream = await navigator.mediaDevices.getDisplayMedia({
    ...(controller && { controller }),
    audio: { ...RAW, channelCount: { ideal: MANY }, suppressLocalAudioPlayback: false },
    video: true, // or browsers refuse
    systemAudio: 'include',
    selfBrowserSurface: 'exclude', // it would hear itself
    surfaceSwitching: 'include',
  });
  for (const track of stream.getVideoTracks()) track.stop(); // the sound goes on, and nobody is filmed
  if (stream.getAudioTracks().length > 0) return stream;
  throw Object.assign(new Error('no sound'), { name: 'SilentShareError' });
}

/** What the browser does to a track although it was asked not to: a list of names, empty when it obeys. */
export function processing(track) {
  const settings = track?.getSettings() ?? {};
  return Object.keys(RAW).filter((key) => settings[key]).map((key) => NAMES[key]);
}

/** The microphones there are, [{id, label}]; labels come only after a permission. */
export async function microphones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const found = devices.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId);
  return found.map(({ deviceId: id, label }, index) => ({ id, label: label || `Input ${index + 1}` }));
}
