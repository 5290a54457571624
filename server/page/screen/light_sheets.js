/**
 * Caustic sheets of the light: waves, colours and weights of each sheet, as `light.js` draws them.
 *
 * The twin of `runtime/output/light_sheets.py`, number for number: constants, reasons and units stand there.
 */

import { MAX_SHEETS } from './light_state.js';

export const [FOLDS, SHADES, EDDIES] = [5, 3, 7];
const PATTERN = 29;
const [COARSE, FINE] = [0.34, 1.15];
const [FOLD_COARSE, FOLD_FINE] = [0.62, 0.4];
const [EDDY_SCALE, EDDY_FOLD, EDDY_SPEED] = [4.6, 0.085, 2.2];
const SHADE_SCALE = 0.45;
const SOURCE_VARIANCE = 0.2;
const SPREAD = [[0, 0], [-0.5, 0.12], [0.52, -0.08], [0.06, 0.16]];
const TURNS = [0, 0.085, -0.075, 0.4];
const SHADE_TURN = 0.12;
const [SMALL, LARGE] = [0.42, 1.12];
const [BREATH_EXTENT, BREATH_LIGHT, PUSH_LIGHT] = [0.03, 0.03, 0.06];
const ARM = 0.3;
const [FAINT, FULL] = [0.035, 1.5];
const RISE = 0.55;

const RING = [
  [1.0, 0.1, 0.05],
  [1.0, 0.24, 0.03],
  [1.0, 0.42, 0.04],
  [0.86, 0.62, 0.06],
  [0.42, 0.74, 0.1],
  [0.1, 0.74, 0.24],
  [0.03, 0.7, 0.52],
  [0.03, 0.52, 0.88],
  [0.08, 0.28, 1.0],
  [0.26, 0.14, 1.0],
  [0.58, 0.09, 0.92],
  [0.92, 0.07, 0.42],
];

/** The sheets of the settings that are lit at all. A wave is `[along u, along v, phase, amplitude]`. */
export function sheets(settings) {
  const lit = [];
  for (let number = 0; number < MAX_SHEETS; number += 1) {
    if (presence(settings.sheets, number) > 0) lit.push(sheet(settings, number));
  }
  return lit;
}

/** The linear light of a hue in turns, between its neighbours on the ring. */
export function colour(hue) {
  const at = (hue - Math.floor(hue)) * RING.length;
  const first = Math.trunc(at) % RING.length;
  const part = at - Math.floor(at);
  const other = RING[(first + 1) % RING.length];
  return RING[first].map((value, i) => value + part * (other[i] - value));
}

/** The draw of this number, 0 to below 1: the lowbias32 hash of 32 bits. */
export function dice(number) {
  let value = Math.imul(number, 0x9e3779b9) >>> 0;
  value = Math.imul(value ^ (value >>> 16), 0x7feb352d) >>> 0;
  value = Math.imul(value ^ (value >>> 15), 0x846ca68b) >>> 0;
  return ((value ^ (value >>> 16)) >>> 0) / 2 ** 32;
}

const drawn = new Map();

function draws(number, part, count) {
  const first = 1 + 4096 * PATTERN + 512 * number + 64 * part;
  if (!drawn.has(first)) {
    drawn.set(first, Array.from({ length: count }, (_, wave) => [
      2 * Math.PI * dice(first + 4 * wave),
      0.5 + dice(first + 4 * wave + 1),
      2 * Math.PI * dice(first + 4 * wave + 2),
      2 * dice(first + 4 * wave + 3) - 1,
    ]));
  }
  return drawn.get(first);
}

function presence(count, number) {
  const part = Math.min(Math.max(count - number, 0), 1);
  return part * part * (3 - 2 * part);
}

function positive(value, by) {
  return value - by * Math.floor(value / by);
}

function waves(constants, scale, size, time) {
  return constants.map(([angle, relative, phase, speed]) => [
    2 * Math.PI * scale * relative * Math.cos(angle),
    2 * Math.PI * scale * relative * Math.sin(angle),
    positive(phase + speed * time, 2 * Math.PI),
    size / relative,
  ]);
}

function mean(all) {
  return all.reduce((sum, [u, v, phase, size]) => sum + size * Math.sin(phase) * Math.exp((-SOURCE_VARIANCE * (u * u + v * v)) / 2), 0);
}

function sheet(settings, number) {
  const { fineness, time, breath } = settings;
  const scale = COARSE + (FINE - COARSE) * fineness;
  const fold = (FOLD_COARSE + (FOLD_FINE - FOLD_COARSE) * fineness) * (0.8 + 0.4 * dice(1 + 4096 * PATTERN + 512 * number + 511));
  const grown = (SMALL + (LARGE - SMALL) * settings.extent) * (1 + BREATH_EXTENT * breath);
  const eddy = EDDY_FOLD * settings.turbulence;
  const [across, up] = [0, 2].map((part) => [
    ...waves(draws(number, part, FOLDS), scale, fold * grown, time),
    ...waves(draws(number, part + 1, EDDIES), EDDY_SCALE, eddy * grown, EDDY_SPEED * time),
  ]);
  const [x, y] = SPREAD[number];
  const hue = settings.hue + TURNS[number];
  const glow = (FAINT + (FULL - FAINT) * settings.light * settings.light)
    * (1 + BREATH_LIGHT * breath * settings.light + PUSH_LIGHT * Math.min(settings.ripple[1], 1));
  return {
    across,
    up,
    shade: waves(draws(number, 4, SHADES), SHADE_SCALE, 1 / SHADES, time),
    middle: [x * grown + ARM * settings.symmetry - mean(across), y * grown - mean(up)],
    stretch: [0.42 * grown, 0.3 * grown],
    colours: [colour(hue - SHADE_TURN), colour(hue + SHADE_TURN)],
    light: glow * presence(settings.sheets, number),
  };
}

/** Where the middle of the light stands, half heights above the middle of the wall. */
export function rise(settings) {
  return RISE * (2 * settings.place - 1);
}
