/** The pure parts of the page's sound: meters of channels, the watch over packets, what is remembered. Run by test_page.py. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

const load = (name) => import(new URL(name, process.env.PAGE_URL)); // a copy that node takes for modules: test_page.py

const { decibels } = await load('audio_time.js');
const { ChannelLevels } = await load('channel_levels.js');
const { choices, remark } = await load('channels.js');
const { HighPass } = await load('high_pass.js');
const { readChoice } = await load('inputs.js');
const { SourceLine } = await load('source_line.js');
const { pick } = await load('sound_files.js');
const { Watch } = await load('watch.js');

const BLOCK = 480;
const still = (value) => new Float32Array(BLOCK).fill(value);
const square = (value) => still(value).map((sample, index) => (index % 2 ? -sample : sample));

/** The meter of one channel after these blocks. */
function meter(...blocks) {
  const levels = new ChannelLevels(1);
  for (const block of blocks) levels.push([block]);
  return levels.read()[0];
}

test('a level is that of the last 100 ms, without its offset', () => {
  assert.ok(Math.abs(meter(square(0.1)).level + 20) < 1e-4);
  assert.equal(meter(still(0.5)).level, -120);
  const moved = square(0.1).map((sample) => sample + 0.5);
  assert.ok(Math.abs(meter(moved).level + 20) < 1e-3);
  assert.equal(meter(square(0.5), ...Array(10).fill(still(0))).level, -120);
});

test('a peak stands for 1.5 s and then falls 20 dB a second', () => {
  const after = (seconds) => meter(square(0.1), ...Array(100 * seconds).fill(still(0))).peak;
  assert.ok(Math.abs(after(1.5) + 20) < 1e-4);
  assert.ok(Math.abs(after(2.5) + 40) < 1e-4);
  assert.equal(after(10), -120);
  assert.ok(Math.abs(meter(square(0.1), square(0.5)).peak - decibels(0.5)) < 1e-6);
});

test('clipping is a sample beyond full scale, or three at it in a row of one sign', () => {
  const at = (samples, offset = 0) => still(0).map((_, index) => samples[index - offset] ?? 0);
  assert.ok(meter(at([1.01])).clipped);
  assert.ok(meter(at([0.999, 1, 1])).clipped);
  assert.ok(meter(at([-1, -1, -1])).clipped);
  assert.ok(!meter(at([1, 1, 0, 1])).clipped);
  assert.ok(!meter(square(1)).clipped);
  assert.ok(!meter(still(0.998)).clipped);
});

test('clipping is seen across blocks, and its light stays for 3 s', () => {
  const [end, start] = [still(0).fill(1, BLOCK - 2), still(0).fill(1, 0, 1)];
  assert.ok(meter(end, start).clipped);
  assert.ok(!meter(end, still(0), start).clipped);
  assert.ok(meter(still(1), ...Array(299).fill(still(0))).clipped);
  assert.ok(!meter(still(1), ...Array(300).fill(still(0))).clipped);
});

test('every channel and every pair of neighbours can be chosen', () => {
  assert.deepEqual(choices(2), [null, [1], [2]]);
  assert.deepEqual(choices(5), [null, [1], [2], [3], [4], [5], [1, 2], [3, 4]]);
  assert.equal(choices(32).length, 1 + 32 + 16);
});

test('it is said when one channel is taken alone, and when one clips', () => {
  const channels = Array.from({ length: 18 }, () => ({ clipped: false }));
  assert.equal(remark({ channels, taken: null, loss: 0 }), '');
  assert.equal(remark({ channels, taken: 3, loss: 12.2 }), 'channel 3 of 18 alone: the mean would lose 12 dB');
  assert.equal(remark({ channels, taken: 3, loss: Infinity }), 'channel 3 of 18 alone: the mean would lose nearly all of it');
  channels[6].clipped = channels[7].clipped = true;
  assert.equal(remark({ channels, taken: null, loss: 0 }), 'channels 7, 8 clip: turn the source down');
  assert.equal(remark({ channels: [{ clipped: true }], taken: null, loss: 0 }), 'it clips: turn the source down');
});

test('a remembered choice that is none is the browser’s', () => {
  const first = { input: '', use: null };
  for (const text of [null, '', 'default', '{', '7', 'null', '{}', '{"input":3,"use":null}', '{"input":"a","use":[0]}']) {
    assert.deepEqual(readChoice(text), first, text);
  }
  for (const use of ['[]', '[33]', '["1"]', '{"length":1}', '1']) assert.deepEqual(readChoice(`{"input":"a","use":${use}}`), first, use);
  assert.deepEqual(readChoice('{"input":"a","use":[1,3]}'), { input: 'a', use: [1, 3] });
});

function dropped(...names) {
  const folder = (name) => name.endsWith('/');
  return {
    files: names.map((name) => ({ name: name.replace('/', '') })),
    items: names.map((name) => ({ kind: 'file', webkitGetAsEntry: () => ({ isDirectory: folder(name), name: name.replace('/', '') }) })),
  };
}

test('of what is dropped the first file is played, and the rest is told', () => {
  assert.deepEqual(pick(dropped('a.wav')), { file: { name: 'a.wav' }, said: '' });
  assert.match(pick(dropped('a.wav', 'b.wav', 'songs/')).said, /“a.wav” is played, and nothing else/);
  assert.equal(pick(dropped('songs/', 'b.wav')).file.name, 'b.wav');
  assert.match(pick(dropped('songs/')).said, /“songs” is a folder/);
  assert.equal(pick(dropped('songs/')).file, null);
  assert.deepEqual(pick({ files: [], items: [{ kind: 'string' }] }), { file: null, said: '' });
});

const RUNS = { runs: true, live: true };
const [SOUND, ZEROS] = [new Float32Array(4).fill(0.1), new Float32Array(4)];

function looks(watch, count, ...packets) {
  return Array.from({ length: count }, () => {
    for (const packet of packets) watch.note(packet);
    return watch.look(RUNS);
  });
}

test('packets that stop are noticed once, in the third second, and so is that they come again', () => {
  const watch = new Watch();
  assert.deepEqual(looks(watch, 5).map(({ stalls }) => stalls), [false, false, true, false, false]);
  assert.ok(watch.note(ZEROS));
  assert.ok(!watch.note(ZEROS));
  assert.deepEqual(Array.from({ length: 5 }, () => watch.look({ runs: false, live: false }).stalls), Array(5).fill(false));
});

test('ten seconds of nothing but zeros are no microphone', () => {
  const watch = new Watch();
  assert.deepEqual(looks(watch, 11, ZEROS).map(({ blanks }) => blanks), [...Array(9).fill(false), true, false]);
  assert.ok(looks(watch, 1, ZEROS, SOUND)[0].sounds);
  looks(watch, 9, ZEROS);
  watch.look({ runs: true, live: false });
  assert.ok(!looks(watch, 9, ZEROS).some(({ blanks }) => blanks));
});

test('the level meter\'s high-pass takes an offset away at once and leaves a tone alone', () => {
  const filter = new HighPass(48000);
  const passed = [still(0.3), still(0.3)].map((block) => filter.push(block));
  assert.ok(Math.max(...passed.flatMap((block) => [...block].map(Math.abs))) < 1e-9);
  for (const [hertz, expected] of [[30, -3.01], [10, -19.1], [1000, 0]]) {
    const tone = Float32Array.from({ length: 96000 }, (_, k) => Math.sin((2 * Math.PI * hertz * k) / 48000));
    const after = new HighPass(48000).push(tone).slice(48000);
    const gain = 10 * Math.log10((2 * after.reduce((sum, sample) => sum + sample * sample, 0)) / after.length);
    assert.ok(Math.abs(gain - expected) < 0.1, `${hertz} Hz: ${gain}`);
  }
});

test('the line of the source tells what it does, and what is wrong with it', () => {
  const line = (status, own) => new SourceLine().tell(status, own, 0);
  assert.equal(line({ source: 'playing' }, true), '');
  assert.match(line({ source: 'stalled' }, false), /no sound comes/);
  assert.match(line({ source: 'lost' }, false), /looked for/);
  assert.match(line({ source: 'playing', warnings: ['faint'] }, true), /faint/);
  assert.equal(line({ source: 'playing', warnings: ['clipped'] }, true), ''); // the page tells it itself
  assert.match(line({ source: 'playing', warnings: ['clipped'] }, false), /clips/);
  assert.match(line({ source: 'playing', taken: 3, channels: Array(18).fill({}) }, false), /^channel 3 of 18 alone/);
  assert.equal(line({ source: 'of a version to come' }, false), '');
});

test('a pause is not told as quiet, and a long one is', () => {
  const line = new SourceLine();
  const quiet = { source: 'quiet', gate: -62.4 };
  assert.deepEqual([0, 2999, 3000].map((now) => line.tell(quiet, true, now)), ['', '', 'quiet: all of it is below −62 dB']);
  line.tell({ source: 'playing' }, true, 3500);
  assert.equal(line.tell(quiet, true, 4000), '');
});
