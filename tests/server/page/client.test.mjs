/** The pure parts of the page's modules, under `node --test`; tests/server/test_page.py runs them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

const load = (name) => import(new URL(name, process.env.PAGE_URL)); // a copy that node takes for modules: test_page.py

const client = await load('clavilux.js');
const { curve, tidy } = await load('controls.js');
const { AudioTime, loudness } = await load('audio_time.js');

function frameMessage({ stages = [1500, 250], body = [9, 8, 7] } = {}) {
  const view = new DataView(new ArrayBuffer(client.FRAME_HEADER_BYTES + 4 * stages.length + body.length));
  view.setUint8(0, 2);
  view.setUint8(1, 2);
  view.setUint16(2, 320, true);
  view.setUint16(4, 200, true);
  view.setUint16(6, stages.length, true);
  view.setUint32(8, 4000000000, true);
  [5000000000, 5000000100, 5000000200].forEach((time, index) => view.setBigUint64(16 + 8 * index, BigInt(time), true));
  stages.forEach((time, index) => view.setUint32(client.FRAME_HEADER_BYTES + 4 * index, time, true));
  body.forEach((byte, index) => view.setUint8(client.FRAME_HEADER_BYTES + 4 * stages.length + index, byte));
  return view.buffer;
}

test('a pulse is taken apart as the server packs it', () => {
  const view = new DataView(new ArrayBuffer(client.PULSE_HEADER_BYTES + 2 * client.READING_BYTES));
  view.setUint8(0, 3);
  view.setUint8(1, 2);
  view.setUint16(2, 12350, true);
  view.setUint32(4, 41, true);
  view.setBigUint64(8, 5000000000n, true);
  const second = client.PULSE_HEADER_BYTES + client.READING_BYTES;
  [51, 0, 0, 255].forEach((byte, index) => view.setUint8(second + index, byte));
  view.setUint8(second + 14, 37);
  view.setUint8(second + 15, 204);
  view.setUint16(second + 16, 350, true);
  const { pulses, capturedAt, known } = client.decodePulse(view.buffer);
  assert.equal(capturedAt, 5000000000);
  assert.equal(known, 0.8);
  assert.deepEqual(pulses.map(({ index }) => index), [41, 42]);
  const { level, high, level_db: loudness, tempo, next_beat: next } = pulses[1];
  assert.deepEqual([level, high, loudness, tempo, next], [0.2, 1, -18.5, 123.5, 0.35]);
  assert.throws(() => client.decodePulse(view.buffer.slice(0, 40)), RangeError);
});

test('samples become 16-bit integers, clipped, and what is no number becomes silence', () => {
  assert.deepEqual([...client.toPcm16([0, 0.5, -1, 1, 7, NaN])], [0, 16384, -32768, 32767, 32767, 0]);
});

test('a sound message carries its header and its samples in little-endian order', () => {
  const message = client.encodeSound(new Float32Array([0.5, -0.5]), { encoding: 'pcm16', sequence: 3, capturedAt: 2 ** 40 });
  const view = new DataView(message);
  assert.equal(message.byteLength, client.SOUND_HEADER_BYTES + 4);
  assert.deepEqual([view.getUint8(0), view.getUint32(0, true), view.getUint32(4, true)], [1, 1, 3]);
  assert.equal(view.getBigUint64(8, true), 2n ** 40n);
  assert.deepEqual([view.getInt16(16, true), view.getInt16(18, true)], [16384, -16384]);
});

test('a float32 sound message keeps its samples', () => {
  const message = client.encodeSound(new Float32Array([0.25]), { encoding: 'float32', sequence: 0, capturedAt: 0 });
  assert.equal(new DataView(message).getFloat32(16, true), 0.25);
});

test('a packet counter beyond 32 bits starts again', () => {
  const message = client.encodeSound(new Float32Array(1), { encoding: 'pcm16', sequence: 2 ** 32 + 5, capturedAt: 0 });
  assert.equal(new DataView(message).getUint32(4, true), 5);
});

test('a frame message is taken apart with its stage times by name', () => {
  const frame = client.decodeFrame(frameMessage(), ['queue', 'encode']);
  assert.deepEqual([frame.encoding, frame.width, frame.height, frame.sequence], ['webp', 320, 200, 4000000000]);
  assert.deepEqual([frame.heardUntil, frame.madeAt, frame.sentAt], [5000000000, 5000000100, 5000000200]);
  assert.deepEqual(frame.stages, { queue: 1500, encode: 250 });
  assert.deepEqual([...frame.data], [9, 8, 7]);
});

test('stages that hello did not name are numbered', () => {
  assert.deepEqual(client.decodeFrame(frameMessage(), ['queue']).stages, { queue: 1500, 'stage 1': 250 });
});

test('a message that is no frame is refused with what was found', () => {
  assert.throws(() => client.decodeFrame(new ArrayBuffer(3), []), /3 bytes is no frame/);
  assert.throws(() => client.decodeFrame(new ArrayBuffer(64), []), /expected type 2/);
  assert.throws(() => client.decodeFrame(frameMessage().slice(0, 42), []), /no room for its 2 stage times/);
});

test('the clock trusts the exchange with the least round trip', () => {
  const clock = new client.ServerClock();
  assert.equal(clock.toServer(100), 0);
  assert.ok(Number.isNaN(clock.toLocal(100)));
  clock.note(0, 100, 1_090_000); // the answer took 90 of the 100 ms
  clock.note(200, 202, 1_201_000);
  assert.equal(clock.toServer(201), 1_201_000);
  assert.equal(clock.toLocal(1_201_000), 201);
});

test('the clock forgets exchanges from long ago', () => {
  const clock = new client.ServerClock();
  clock.note(0, 0, 7_000_000);
  for (let i = 0; i < 16; i += 1) clock.note(0, 10, 5000);
  assert.equal(clock.offset, 0);
});

test('the wait before a new attempt doubles, is capped and half of it is chance', () => {
  assert.deepEqual([0, 1, 2, 3].map((attempt) => client.backOff(attempt, () => 1)), [250, 500, 1000, 2000]);
  assert.deepEqual([client.backOff(50, () => 1), client.backOff(50, () => 0)], [5000, 2500]);
});

test('sound that the network does not take is dropped, oldest first, and counted', () => {
  const queue = new client.SoundQueue(2);
  const sent = [];
  const socket = { bufferedAmount: 1e6, send: (packet) => sent.push(packet) };
  for (const packet of ['a', 'b', 'c']) queue.push(packet);
  queue.drain(socket);
  assert.deepEqual([queue.dropped, sent], [1, []]);
  queue.drain({ ...socket, bufferedAmount: 0 });
  assert.deepEqual(sent, ['b', 'c']);
});

test('sound cannot be sent in a session that has none', () => {
  assert.throws(() => new client.Stage('ws://nowhere').send(new Float32Array(1)), /carries no sound/);
});

test('loudness is in dBFS, and silence is the quietest there is', () => {
  const { rms, peak } = loudness(new Float32Array([1, -1, 1, -1]));
  assert.deepEqual([rms, peak], [0, 0]);
  assert.deepEqual(loudness(new Float32Array(8)), { rms: -120, peak: -120 });
  assert.ok(Math.abs(loudness(new Float32Array(8).fill(0.1)).rms + 20) < 1e-4);
});

test('late packets do not move the audio clock', () => {
  const time = new AudioTime();
  assert.equal(time.local(1, 5000), 5000);
  assert.equal(time.local(2, 6300), 6000);
});

test('a pause of the audio clock is not taken for lateness', () => {
  const time = new AudioTime();
  time.local(1, 5000);
  assert.equal(time.local(1.02, 65020), 65020);
  assert.equal(time.local(1.04, 65090), 65040);
});

test('a slider gives room to the low end when the default lies there', () => {
  const low = curve({ low: 0, high: 30, default: 0.3 });
  assert.ok(low.value(0.4) > 0.29 && low.value(0.4) < 0.31);
  assert.ok(Math.abs(low.place(low.value(0.7)) - 0.7) < 1e-9);
  assert.equal(curve({ low: 0, high: 1, default: 0 }).value(0.25), 0.25);
});

test('numbers are shown with as many digits as they deserve', () => {
  assert.deepEqual([tidy(0.123), tidy(2.56), tidy(-55.4)], [0.12, 2.6, -55]);
});

/** Let stages connect to sockets that do nothing, at a time that stands still; return these sockets, and a stage. */
function connecting(context) {
  const sockets = [];
  class Socket {
    static CONNECTING = 0;
    static OPEN = 1;
    readyState = Socket.CONNECTING;
    codes = [];
    constructor() {
      sockets.push(this);
    }
    close(code) {
      this.codes.push(code);
    }
  }
  const { WebSocket } = globalThis;
  globalThis.WebSocket = Socket;
  context.after(() => (globalThis.WebSocket = WebSocket));
  context.mock.timers.enable({ apis: ['setTimeout'] });
  return { sockets, stage: new client.Stage('ws://stage/ws') };
}

test('a connection that is left before it is open is closed once it is', (context) => {
  const { sockets, stage } = connecting(context);
  stage.open();
  stage.restart({ role: 'performer' });
  assert.deepEqual(sockets.map(({ codes }) => codes), [[], []]);
  sockets[0].readyState = WebSocket.OPEN;
  sockets[0].onopen();
  assert.deepEqual(sockets.map(({ codes }) => codes), [[1000], []]);
  stage.close();
});

test('a connection that never opens is closed a second after it was left', (context) => {
  const { sockets, stage } = connecting(context);
  stage.open();
  stage.close();
  context.mock.timers.tick(999);
  assert.deepEqual(sockets[0].codes, []);
  context.mock.timers.tick(1);
  assert.deepEqual(sockets[0].codes, [1000]);
});

test('a stage that is opened twice has one connection, and none after it is closed', (context) => {
  const { sockets, stage } = connecting(context);
  stage.open();
  stage.open();
  stage.close();
  context.mock.timers.tick(60_000);
  assert.deepEqual(sockets.map(({ codes }) => codes), [[1000], [1000]]);
});

/** Let a stage begin a session over a socket that a test plays; return both, and what the stage has said there. */
function started(context, options = {}) {
  const { sockets, stage } = connecting(context);
  const said = (socket) => socket.sent.map((text) => JSON.parse(text));
  const begin = (socket) => {
    Object.assign(socket, { readyState: WebSocket.OPEN, sent: [], send: (text) => socket.sent.push(text) });
    socket.tell = (message) => socket.onmessage({ data: JSON.stringify(message) });
    socket.tell({ type: 'hello', token_required: false, stages: [] });
  };
  Object.assign(stage.options, options);
  stage.open().catch(() => {});
  begin(sockets[0]);
  return { sockets, stage, said, begin };
}

test('who comes back after the connection broke shows the session that it had', (context) => {
  const { sockets, stage, said, begin } = started(context);
  assert.equal(said(sockets[0])[0].session, null);
  sockets[0].tell({ type: 'started', role: 'viewer', stage: 'main', parameters: {}, session: 'mine' });
  sockets[0].onclose({ code: 1006, reason: '' });
  context.mock.timers.tick(60_000);
  begin(sockets[1]);
  assert.equal(said(sockets[1]).find(({ type }) => type === 'start').session, 'mine');
  stage.close();
});

for (const when of ['starting', 'started']) {
  test(`who is told when to try again, ${when}, waits so long and no longer`, (context) => {
    const { sockets, stage } = started(context);
    if (when === 'started') sockets[0].tell({ type: 'started', role: 'viewer', stage: 'main', parameters: {} });
    sockets[0].tell({ type: 'error', code: 'try_again', message: 'full', fatal: true, reply_to: null, retry_after: 30 });
    assert.deepEqual([stage.state, stage.reason], ['waiting', 'full']);
    context.mock.timers.tick(29_999);
    assert.equal(sockets.length, 1);
    context.mock.timers.tick(1);
    assert.equal(sockets.length, 2);
    stage.close();
  });
}

for (const how of ['an error', 'a close code']) {
  test(`who has lost the place to another connection, as ${how} says, does not take it back`, (context) => {
    const { sockets, stage } = started(context);
    sockets[0].tell({ type: 'started', role: 'viewer', stage: 'main', parameters: {}, session: 'mine' });
    if (how === 'an error') sockets[0].tell({ type: 'error', code: 'replaced', message: 'gone', fatal: true });
    else sockets[0].onclose({ code: 4001, reason: 'gone' });
    context.mock.timers.tick(60_000);
    assert.deepEqual([stage.state, sockets.length], ['closed', 1]);
  });
}

test('who wishes to sound in the place of another says so', (context) => {
  const { sockets, stage, said } = started(context, { role: 'performer', takeOver: true });
  assert.equal(said(sockets[0])[0].take_over, true);
  stage.close();
});

for (const where of ['connecting', 'waiting']) {
  test(`a stage that is closed when it is told to be ${where} stays closed`, (context) => {
    const { sockets, stage } = connecting(context);
    stage.onstate = (state) => state === where && stage.close();
    stage.open();
    sockets[0]?.onclose({ reason: 'gone' });
    context.mock.timers.tick(60_000);
    assert.equal(stage.state, 'closed');
    assert.equal(sockets.length, where === 'connecting' ? 0 : 1);
  });

  test(`a stage that begins anew when it is told to be ${where} does so once`, (context) => {
    const { sockets, stage } = connecting(context);
    let begun = false;
    stage.onstate = (state) => {
      if (state !== where || begun) return;
      begun = true;
      stage.restart({ role: 'performer' });
    };
    stage.open();
    if (where === 'waiting') sockets[0].onclose({ reason: 'gone' });
    assert.equal(sockets.length, where === 'connecting' ? 1 : 2);
    context.mock.timers.tick(1000);
    assert.equal(sockets.length, where === 'connecting' ? 1 : 2);
  });
}
