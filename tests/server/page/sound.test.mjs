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
const { pick, waveChannels } = await load('sound_files.js');
const { Answers, Watch } = await load('watch.js');

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

test('nobody is told to turn a file down, nor of a mix that no stage takes', () => {
  const channels = [{ clipped: true }, { clipped: false }];
  const said = remark({ channels, taken: 2, loss: 6 }, { isFile: true, answered: false });
  assert.equal(said, 'channel 1 clips in the file itself, which is cut off at full scale');
});

function wave(channels, { kind = 'RIFF', before = [], little = true } = {}) {
  const chunks = [...before, ['fmt ', 16]];
  const view = new DataView(new ArrayBuffer(12 + chunks.reduce((sum, [, length]) => sum + 8 + length + (length % 2), 0)));
  const write = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  write(0, kind);
  write(8, 'WAVE');
  let at = 12;
  for (const [name, length] of chunks) {
    write(at, name);
    view.setUint32(at + 4, length, little);
    if (name === 'fmt ') view.setUint16(at + 10, channels, little);
    at += 8 + length + (length % 2);
  }
  return view.buffer;
}

test('how many channels a WAV has stands at its beginning', () => {
  assert.equal(waveChannels(wave(33)), 33);
  assert.equal(waveChannels(wave(2, { kind: 'RF64', before: [['ds64', 28]] })), 2);
  assert.equal(waveChannels(wave(40, { before: [['bext', 603], ['JUNK', 0]] })), 40);
  assert.equal(waveChannels(wave(33, { kind: 'RIFX', little: false })), 33);
});

test('what is no WAV, or is cut before its format, tells of no channels', () => {
  const whole = wave(33, { before: [['bext', 603]] });
  for (const end of [0, 3, 12, 20, 600, whole.byteLength - 13]) assert.equal(waveChannels(whole.slice(0, end)), null, end);
  assert.equal(waveChannels(new TextEncoder().encode('OggS and more of it').buffer), null);
});

test('answers are missing after six looks without one, and no more when one has come', () => {
  const answers = new Answers();
  const missing = (...looks) => looks.map(([newest, expected]) => answers.look(newest, expected) && answers.missing);
  assert.deepEqual(missing(...Array(6).fill([7, true])), Array(6).fill(false));
  assert.deepEqual(missing([7, true], [7, true]), [true, false]);
  assert.ok(answers.look(8, true));
  assert.ok(!answers.missing);
});

test('a page that nobody sees does not miss answers, and does not take the looks for them', () => {
  const answers = new Answers();
  for (let look = 0; look < 20; look += 1) assert.ok(!answers.look(7, false));
  for (let look = 0; look < 5; look += 1) assert.ok(!answers.look(7, true));
  assert.ok(answers.look(7, true));
  assert.ok(!answers.look(7, false));
  assert.ok(answers.missing);
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
  const line = (status, own) => new SourceLine().tell(status, own ? { sounding: true, isFile: false } : null, 0);
  assert.equal(line({ source: 'playing' }, true), '');
  assert.match(line({ source: 'stalled' }, false), /no sound comes/);
  assert.match(line({ source: 'lost' }, false), /looked for/);
  assert.match(line({ source: 'playing', warnings: ['faint'] }, true), /faint/);
  assert.equal(line({ source: 'playing', warnings: ['clipped'] }, true), ''); // the page tells it itself
  assert.match(line({ source: 'playing', warnings: ['clipped'] }, false), /clips/);
  assert.match(line({ source: 'playing', taken: 3, channels: Array(18).fill({}) }, false), /^channel 3 of 18 alone/);
  assert.equal(line({ source: 'of a version to come' }, false), '');
});

test('what is held is neither quiet nor faint, and a faint file is not turned up at its source', () => {
  const faint = { source: 'quiet', gate: -45, warnings: ['faint'] };
  const line = new SourceLine();
  for (const now of [0, 5000, 6000]) assert.equal(line.tell(faint, { sounding: false, isFile: true }, now), '');
  assert.equal(line.tell(faint, { sounding: true, isFile: true }, 6500), 'it is very faint: turn the gain up');
});

test('a pause is not told as quiet, and a long one is', () => {
  const line = new SourceLine();
  const quiet = { source: 'quiet', gate: -62.4 };
  const own = { sounding: true, isFile: false };
  assert.deepEqual([0, 2999, 3000].map((now) => line.tell(quiet, own, now)), ['', '', 'quiet: all of it is below −62 dB']);
  line.tell({ source: 'playing' }, own, 3500);
  assert.equal(line.tell(quiet, own, 4000), '');
});
