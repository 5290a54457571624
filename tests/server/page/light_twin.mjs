/** Light in JavaScript, for its Python twin: readings come as JSON on the standard input, settings and sheets go back. */

import { readFileSync } from 'node:fs';
import { lightAmount, lightMask, LightState } from './light_state.js';
import { colour, dice, rise, sheets } from './light_sheets.js';

const { readings, points } = JSON.parse(readFileSync(0, 'utf8'));
const state = new LightState();
const shown = readings.map(({ pulse, seconds, ...options }) => {
  const settings = state.advance(pulse, seconds, options);
  return { settings, sheets: sheets(settings), rise: rise(settings) };
});
const parts = points.map(([light, known, x, y, hue]) => {
  const [field, rim] = lightAmount(light, known);
  return [field, rim, lightMask(x, y, field, rim), ...colour(hue)];
});
console.log(JSON.stringify({ shown, parts, dice: Array.from({ length: 500 }, (_, i) => dice(i * 7919)) }));
