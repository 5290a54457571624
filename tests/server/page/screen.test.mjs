/** The screen's state machines, under `node --test`; tests/server/page/test_screen_states.py runs them. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

async function load(name) {
  const source = await readFile(new URL(`../../../server/page/screen/${name}`, import.meta.url), 'utf8');
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}

const { FIRST_MS, MAX_INTERVAL_MS, Pacing } = await load('pictures.js');
const { BUDGET_MS, Resolution, STEPS } = await load('resolution.js');
const { CalmGain } = await load('master.js');

/** A pacing that has seen pictures every `interval` ms for long, and when the last of them came. */
function used(interval, count = 60) {
  const pacing = new Pacing();
  for (let picture = 0; picture < count; picture += 1) pacing.arrive(picture * interval);
  return [pacing, (count - 1) * interval];
}

test('the first picture is there at once', () => {
  const pacing = new Pacing();
  assert.equal(pacing.share(0), 1);
  pacing.arrive(1000);
  assert.equal(pacing.share(1000), 1);
});

test('a picture grows for as long as pictures are apart', () => {
  const [pacing, last] = used(80);
  assert.ok(Math.abs(pacing.interval - 80) < 0.1);
  assert.ok(Math.abs(pacing.share(last + 40) - 0.5) < 0.01);
  assert.equal(pacing.share(last + 80.1), 1);
});

test('the newest picture is never later than one interval', () => {
  for (const interval of [8, 33, 66, 200]) {
    const [pacing, last] = used(interval);
    assert.equal(pacing.share(last + interval + 0.1), 1, `${interval} ms`);
  }
});

test('pictures that are seconds apart do not grow for seconds', () => {
  const [pacing, last] = used(3000);
  assert.ok(pacing.interval <= MAX_INTERVAL_MS);
  assert.equal(pacing.share(last + MAX_INTERVAL_MS), 1);
});

test('after a stall the next picture grows from what is shown, in no more than a little longer', () => {
  const [pacing, last] = used(50);
  const resumed = last + 4000;
  assert.equal(pacing.share(resumed), 1);
  assert.equal(pacing.arrive(resumed), 1);
  assert.equal(pacing.share(resumed), 0);
  assert.ok(pacing.interval < 1.3 * 50);
});

test('a picture that comes early tells how much of the one before was shown', () => {
  const [pacing, last] = used(100);
  assert.ok(Math.abs(pacing.arrive(last + 30) - 0.3) < 0.01);
});

test('pictures that the network bunches are paced by their own times', () => {
  const pacing = new Pacing();
  for (let picture = 0; picture < 60; picture += 1) pacing.arrive(picture * 40 + (picture % 2) * 35, picture * 40);
  assert.ok(Math.abs(pacing.interval - 40) < 0.1);
});

test('another clock is no interval', () => {
  const [pacing] = used(50);
  pacing.forget();
  pacing.arrive(1e6, 5);
  assert.ok(Math.abs(pacing.interval - 50) < 0.1);
});

test('a freeze holds what is shown, and going on does not leap', () => {
  const [pacing, last] = used(100);
  pacing.hold(last + 25);
  assert.ok(Math.abs(pacing.share(last + 5000) - 0.25) < 0.01);
  pacing.release(last + 5000);
  assert.ok(Math.abs(pacing.share(last + 5000) - 0.25) < 0.01);
  assert.ok(Math.abs(pacing.share(last + 5025) - 0.5) < 0.01);
});

test('a freeze before the first picture shows it', () => {
  const pacing = new Pacing();
  pacing.hold(0);
  pacing.release(10);
  pacing.arrive(20);
  assert.equal(pacing.share(20), 1);
  assert.equal(new Pacing().interval, FIRST_MS);
});

test('what is drawn in time keeps all its pixels', () => {
  const resolution = new Resolution();
  for (let draw = 0; draw < 100; draw += 1) assert.equal(resolution.note(BUDGET_MS), false);
  assert.equal(resolution.scale, 1);
});

test('one slow draw changes nothing', () => {
  const resolution = new Resolution();
  assert.deepEqual([500, 5, 500, 5].map((cost) => resolution.note(cost)), [false, false, false, false]);
});

test('where all draws are slow it goes as far down as it must at once', () => {
  const resolution = new Resolution();
  resolution.note(60);
  assert.equal(resolution.doubtful, true);
  assert.equal(resolution.note(60), true);
  assert.equal(resolution.doubtful, false);
  assert.equal(resolution.scale, 0.5);
  assert.equal(resolution.note(15), false);
});

test('no cost is too much for the smallest size', () => {
  const resolution = new Resolution();
  for (let draw = 0; draw < 10; draw += 1) resolution.note(5000);
  assert.equal(resolution.scale, STEPS.at(-1));
  assert.equal(resolution.doubtful, false); // measuring stops the page, and nothing could be done about it
});

test('it goes up only where there is room for it, and does not swing', () => {
  const costOfAll = 30; // of a draw at full size: three quarters are just affordable
  const resolution = new Resolution();
  const scales = [];
  for (let draw = 0; draw < 200; draw += 1) {
    resolution.note(costOfAll * resolution.scale ** 2);
    scales.push(resolution.scale);
  }
  assert.deepEqual([...new Set(scales.slice(5))], [0.75]);
  for (let draw = 0; draw < 20; draw += 1) resolution.note(1);
  assert.equal(resolution.scale, 1);
});

test('a gain that no limiter follows goes at once, and turns twice a second at most', () => {
  const gain = new CalmGain();
  assert.deepEqual([gain.advance(1, 0), gain.advance(0, 1 / 60)], [1, 0]);
  for (const hertz of [3, 5, 8, 20]) {
    const hammered = new CalmGain();
    const shown = Array.from({ length: 240 }, (_, k) => hammered.advance(Math.floor((k / 60) * 2 * hertz) % 2, 1 / 60));
    const turns = shown.filter((one, k) => k > 0 && one !== shown[k - 1]).length;
    assert.ok(turns >= 2 && turns <= 8, `${hertz} Hz: ${turns} turns in 4 s`);
  }
});

test('a gain comes to where it is wanted, and a fade is not held up', () => {
  const gain = new CalmGain();
  for (let k = 0; k <= 60; k += 1) assert.equal(gain.advance(1 - k / 60, 1 / 60), 1 - k / 60);
  gain.advance(1, 1 / 60);
  gain.advance(0, 1 / 60);
  for (let k = 0; k < 31; k += 1) gain.advance(0, 1 / 60);
  assert.equal(gain.advance(0, 1 / 60), 0);
});
