/** The pure parts of the page's controls: routes as lines, sliders as curves, values as words. Run by test_page.py. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

const load = (name) => import(new URL(name, process.env.PAGE_URL)); // a copy that node takes for modules: test_page.py

const { curve, words } = await load('controls.js');
const { friendly, friendlySource } = await load('names.js');
const { parseRoute } = await load('modulation.js');
const { format, targets } = await load('routes.js');
const LINE = 'onset > exposure 0.8, attack 0, release 0.2, curve 1';

test('a line becomes a route and the same line again', () => {
  const route = { source: 'onset', target: 'exposure', amount: 0.8, attack: 0, release: 0.2, curve: 1 };
  assert.deepEqual(parseRoute(LINE), route);
  assert.equal(format(route), LINE);
});

test('what is left out of a line is as the stage reads it', () => {
  assert.deepEqual(parseRoute('low>zoom -2'), { source: 'low', target: 'zoom', amount: -2, attack: 0, release: 0.1, curve: 1 });
});

test('an empty line, and one that is no route, is none', () => {
  for (const line of ['', '  ', 'low zoom 1', 'low > zoom much', 'low > zoom 1, colour 2']) assert.equal(parseRoute(line), null, line);
  assert.equal(format(null), '');
  assert.equal(format({ source: '', target: 'zoom', amount: 1, attack: 0, release: 0, curve: 1 }), '');
});

test('only numbers that a route may move are targets', () => {
  const float = { kind: 'float' };
  assert.deepEqual(targets({ zoom: float, master: { kind: 'float', fixed: true }, seed: { kind: 'int' }, noise: { kind: 'choice' } }), ['zoom']);
});

test('a slider leads to both ends, and to its default in comfort', () => {
  const { value, place } = curve({ low: 0, high: 30, default: 0.35 });
  assert.deepEqual([value(0), value(1)], [0, 30]);
  assert.ok(Math.abs(place(0.35) - 0.4) < 1e-9);
  assert.ok(Math.abs(value(place(7)) - 7) < 1e-9);
});

test('a value is read as words', () => {
  assert.equal(words(0, { unit: 's', zero: 'automatic' }), 'automatic');
  assert.equal(words(-55, { unit: 'dBFS' }), '\u221255 dBFS');
  assert.equal(words(90, { unit: '° per second' }), '90° per second');
});

test('a parameter that nobody has named goes by its own name', () => {
  assert.equal(friendly('a_new_one'), 'a new one');
  assert.equal(friendlySource('lfo_1'), 'wave 1');
});
