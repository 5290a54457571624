/** Sound files of any format that the browser reads: decoded whole, bounded, and refused in one line. */

const BYTES = 4; // of a decoded sample
const STEREO = 2; // channels, taken for granted until it is decoded
const MAX_BYTES = 2 ** 31; // of decoded sound, which a browser holds in memory: an hour and a half in stereo
const PROBE_MS = 5000; // until a browser that has not found the length never will
const FORMATS = 'Try WAV, FLAC, MP3, Ogg or M4A.';
const MAX_CHANNELS = 32; // that a browser takes, by the Web Audio API
const HEADER_BYTES = 65536; // of a WAV: some programs write a page of text before the format
const WAVES = ['RIFF', 'RIFX', 'RF64', 'BW64']; // the second with its numbers turned over

function clock(seconds) {
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
}

/** How long a file plays, in seconds, as its beginning says; NaN where it does not. */
async function duration(file) {
  const probe = new Audio();
  const url = URL.createObjectURL(file);
  const found = await new Promise((resolve) => {
    probe.onloadedmetadata = () => resolve(probe.duration);
    probe.onerror = () => resolve(NaN);
    setTimeout(() => resolve(NaN), PROBE_MS);
    probe.preload = 'metadata';
    probe.src = url;
  });
  probe.removeAttribute('src');
  URL.revokeObjectURL(url);
  return Number.isFinite(found) ? found : NaN;
}

/** How many channels a WAV has, as the bytes at its beginning say; null where they do not. @param {ArrayBuffer} bytes */
export function waveChannels(bytes) {
  const view = new DataView(bytes);
  const word = (at) => String.fromCharCode(...new Uint8Array(bytes, at, 4));
  if (bytes.byteLength < 12 || !WAVES.includes(word(0)) || word(8) !== 'WAVE') return null;
  const isLittle = word(0) !== 'RIFX';
  for (let at = 12; at + 12 <= bytes.byteLength; ) {
    if (word(at) === 'fmt ') return view.getUint16(at + 10, isLittle);
    const length = view.getUint32(at + 4, isLittle);
    at += 8 + length + (length % 2);
  }
  return null;
}

function tooMany(file, channels) {
  const advice = `A browser takes ${MAX_CHANNELS} at most: take some of them out of it, or mix it down.`;
  return `“${file.name}” has ${channels} channels. ${advice}`;
}

/** Why a file is not even tried, in words for people; '' when it is. */
async function refusal(file, { rate, channels }) {
  if (file.size === 0) return `“${file.name}” is empty: it has 0 bytes. Choose another file.`;
  if (channels > MAX_CHANNELS) return tooMany(file, channels);
  const most = MAX_BYTES / (BYTES * STEREO * rate); // s
  const advice = `This page plays up to ${clock(most)} in stereo at a time: cut it into parts.`;
  const seconds = await duration(file);
  if (seconds > most) return `“${file.name}” is too long: ${clock(seconds)}. ${advice}`;
  if (file.size > MAX_BYTES) return `“${file.name}” is too large: ${(file.size / 1e9).toFixed(1)} GB. ${advice}`;
  return '';
}

/** A file's sound. Rejects with one line for people when it has none. @param {BaseAudioContext} context @param {File} file */
export async function decode(context, file) {
  const channels = waveChannels(await read(file, file.slice(0, HEADER_BYTES)));
  const reason = await refusal(file, { rate: context.sampleRate, channels });
  if (reason) throw new Error(reason);
  const buffer = await context.decodeAudioData(await read(file, file)).catch(() => null);
  if (buffer?.numberOfChannels > MAX_CHANNELS) throw new Error(tooMany(file, buffer.numberOfChannels));
  if (buffer?.length > 0) return buffer;
  const many = channels === null ? `, or more than ${MAX_CHANNELS} channels` : '';
  throw new Error(`“${file.name}” cannot be played: this browser finds no sound in it${many}. ${FORMATS}`);
}

function read(file, part) {
  return part.arrayBuffer().catch(() => {
    throw new Error(`“${file.name}” cannot be read any more. Was it moved? Choose it again.`);
  });
}

/**
 * What was dropped on the page: {file, said}, where `file` is null when nothing can be played, and `said` is '' when all
 * of it is. @param {DataTransfer} dropped
 */
export function pick(dropped) {
  const items = [...dropped.items].filter(({ kind }) => kind === 'file');
  const entries = items.map((item) => item.webkitGetAsEntry?.());
  const folders = entries.filter((entry) => entry?.isDirectory).map(({ name }) => name);
  const files = [...dropped.files].filter(({ name }) => !folders.includes(name));
  const [file = null] = files;
  if (!file && folders.length > 0) return { file, said: `“${folders[0]}” is a folder. Drop a sound file from inside it.` };
  const more = files.length + folders.length - 1;
  return { file, said: more > 0 ? `“${file.name}” is played, and nothing else of what was dropped.` : '' };
}
