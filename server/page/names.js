/**
 * Names that a musician knows, for parameters and groups. The parameter's own name, as `--set` takes it, stays in the
 * tooltip; what is not listed here is shown by its own name.
 */

const NAMES = {
  react: 'strength',
  frame_rate: 'frame rate',
  hop: 'how often it listens',
  stream_batch: 'pipelined steps',
  walk: 'wandering speed',
  noise: 'between two sounds',
  seed: 'seed',
  gain: 'input gain',
  gain_follows: 'automatic gain',
  gate: 'silence below',
  gate_follows: 'follow the room',
  hold: 'pause bridged',
  drift: 'way home in silence',
  motion_zoom: 'fly in',
  motion_rotation: 'turn',
  motion_x: 'drift right',
  motion_y: 'drift up',
  motion_drift: 'currents',
  lfo_1: 'wave 1, speed',
  lfo_1_beats: 'wave 1, beats',
  lfo_1_shape: 'wave 1, shape',
  lfo_2: 'wave 2, speed',
  lfo_2_beats: 'wave 2, beats',
  lfo_2_shape: 'wave 2, shape',
  flash_limit: 'flash limiter',
  fade: 'fade time',
  displacement: 'ripple',
  known: 'how sure it is',
  pitch_class: 'note',
  pitch_height: 'pitch',
  pitch_confidence: 'clear pitch',
  harmonicity: 'harmony',
  onset: 'onset of a note',
  density: 'busyness',
  beat_phase: 'place in the beat',
  lfo_1_: 'wave 1',
  lfo_2_: 'wave 2',
};

/** What a value of 0 means where it is no quantity. */
export const ZERO = { frame_rate: 'automatic', hop: 'automatic', lfo_1_beats: 'free', lfo_2_beats: 'free', mirror: 'none' };

/** Groups in their order: title, help line, and whether they are open at first. */
export const GROUPS = [
  ['react', 'react', 'how the sound moves the picture now', true],
  ['morph', 'morph', 'how one picture becomes the next', true],
  ['look', 'look', 'what is done to the picture on the screen', false],
  ['sound', 'sound', 'how it listens', false],
  ['safety', 'safety', 'for the eyes in the room', false],
  ['engine', 'engine', 'how the pictures are made', false],
];

/** The name of a parameter for people. @param {string} name */
export function friendly(name) {
  return NAMES[name] ?? name.replaceAll('_', ' ');
}

/** The name of a source of a route for people. @param {string} name */
export function friendlySource(name) {
  return NAMES[`${name}_`] ?? friendly(name);
}
