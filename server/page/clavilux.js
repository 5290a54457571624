/**
 * The browser client of Clavilux: sound and parameters up, pictures down, over one websocket (docs/protocol.md).
 *
 * One module without dependencies; the web instrument uses it, and so can any page that the same server or another
 * one serves (p5.js, three.js, a plain canvas):
 *
 *     import { connect, toBitmap } from '/page/clavilux.js';
 *     const stage = await connect();
 *     stage.onframe = async (frame) => context.drawImage(await toBitmap(frame), 0, 0);
 *
 * Local times are milliseconds of `performance.now()`; times on the wire are microseconds of the server's clock.
 * The pure parts (codec, clock, back-off) run in node as well: tests/server/page/client.test.mjs.
 */

export const SUBPROTOCOL = 'clavilux.v1';
export const SOUND_HEADER_BYTES = 16;
export const FRAME_HEADER_BYTES = 40;
export const PULSE_HEADER_BYTES = 16;
export const READING_BYTES = 18;

const SOUND_TYPE = 1;
const FRAME_TYPE = 2;
const PULSE_TYPE = 3;
const PICTURE_ENCODINGS = { 1: 'jpeg', 2: 'webp', 3: 'rgb' };
const PCM16_SCALE = 32768;
const TEMPO_STEPS = 100; // per beat a minute
const READING_FIELDS = [
  'level', 'low', 'mid', 'high', 'brightness', 'noisiness', 'harmonicity', 'pitch_class', 'pitch_height',
  'pitch_confidence', 'onset', 'density', 'beat_phase', 'beat_confidence',
];

const BUFFERED_BYTES = 32768; // what may wait inside the socket: a third of a second of 48 kHz PCM16
const QUEUED_PACKETS = 50; // what may wait before it: half a second of 10 ms packets
const PARAMETER_INTERVAL_MS = 33;
const PING_BURST = 5;
const PING_BURST_MS = 100;
const PING_INTERVAL_MS = 2000;
const SILENT_LINK_MS = 8000; // status comes twice a second, so this long without a word means the link is dead
const LEAVING_MS = 1000; // for which what is left while it connects may go on to do so
const SOCKET_OPEN = 1; // WebSocket.OPEN; CLOSING and CLOSED are greater
const CLOCK_SAMPLES = 16;

const CLOSE_NORMAL = 1000;
const CLOSE_REPLACED = 4001; // another connection has this one's place, and would lose it again
const HOPELESS = new Set(['unauthorized', 'replaced']);

/**
 * @typedef {object} Frame
 * @property {number} sequence  counts from 0
 * @property {'jpeg'|'webp'|'rgb'} encoding
 * @property {number} width   pixels
 * @property {number} height  pixels
 * @property {number} heardUntil  server µs at which the newest sample that shaped it was captured; 0 = none yet
 * @property {number} madeAt  server µs at which work on it began
 * @property {number} sentAt  server µs
 * @property {Object<string, number>} stages  µs by stage name, in the order the sound passes them
 * @property {Uint8Array} data  the compressed picture, or height × width × 3 bytes of RGB
 */

/**
 * @typedef {object} Options
 * @property {'viewer'|'performer'} [role]  default 'viewer'
 * @property {{encoding: 'pcm16'|'float32', rate: number, channels: number}|null} [sound]  what `send` will carry
 * @property {{encoding: 'jpeg'|'webp'|'rgb', quality: number}} [picture]
 * @property {boolean} [pulse]  whether readings of the pulse shall come, to `onpulse`
 * @property {boolean} [limitsFlashes]  whether this client limits flashes itself; otherwise the server does
 * @property {boolean} [takeOver]  whether to sound in the place of whoever does, which a token of the role admin may
 * @property {string|(() => Promise<string>)} [token]  or a function that asks for it, called when the server wants one
 */

/** An error that the server named; `code` is the protocol's. */
export class StageError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = 'StageError';
    this.code = code;
  }
}

/** Samples in -1..1 as 16-bit integers; what lies outside is clipped, what is no number becomes 0. */
export function toPcm16(samples) {
  const out = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i += 1) {
    out[i] = Math.max(-PCM16_SCALE, Math.min(PCM16_SCALE - 1, Math.round(samples[i] * PCM16_SCALE)));
  }
  return out;
}

/**
 * One sound message, header and samples. Every platform that runs a browser is little-endian, as the wire is.
 * @param {Float32Array} samples  interleaved
 * @param {{encoding: 'pcm16'|'float32', sequence: number, capturedAt: number}} head  capturedAt in server µs, 0 = unknown
 * @returns {ArrayBuffer}
 */
export function encodeSound(samples, { encoding, sequence, capturedAt }) {
  const body = encoding === 'pcm16' ? toPcm16(samples) : Float32Array.from(samples);
  const message = new Uint8Array(SOUND_HEADER_BYTES + body.byteLength);
  const view = new DataView(message.buffer);
  view.setUint8(0, SOUND_TYPE);
  view.setUint32(4, sequence >>> 0, true);
  view.setBigUint64(8, BigInt(Math.max(0, Math.round(capturedAt))), true);
  message.set(new Uint8Array(body.buffer), SOUND_HEADER_BYTES);
  return message.buffer;
}

/**
 * One frame message, taken apart without copying the picture.
 * @param {ArrayBuffer} buffer
 * @param {string[]} stageNames  from hello
 * @returns {Frame}
 * @throws {RangeError} naming what was found when it is no frame
 */
export function decodeFrame(buffer, stageNames) {
  const view = new DataView(buffer);
  if (buffer.byteLength < FRAME_HEADER_BYTES || view.getUint8(0) !== FRAME_TYPE) {
    throw new RangeError(`a binary message of ${buffer.byteLength} bytes is no frame; expected type ${FRAME_TYPE}`);
  }
  const count = view.getUint16(6, true);
  const start = FRAME_HEADER_BYTES + 4 * count;
  if (buffer.byteLength < start) {
    throw new RangeError(`a frame of ${buffer.byteLength} bytes has no room for its ${count} stage times`);
  }
  const stages = {};
  for (let i = 0; i < count; i += 1) {
    stages[stageNames[i] ?? `stage ${i}`] = view.getUint32(FRAME_HEADER_BYTES + 4 * i, true);
  }
  return {
    sequence: view.getUint32(8, true),
    encoding: PICTURE_ENCODINGS[view.getUint8(1)] ?? 'unknown',
    width: view.getUint16(2, true),
    height: view.getUint16(4, true),
    heardUntil: Number(view.getBigUint64(16, true)),
    madeAt: Number(view.getBigUint64(24, true)),
    sentAt: Number(view.getBigUint64(32, true)),
    stages,
    data: new Uint8Array(buffer, start),
  };
}

/**
 * One message of the pulse, taken apart: readings with the names of the server's `Pulse`.
 * @param {ArrayBuffer} buffer
 * @returns {{pulses: object[], capturedAt: number, known: number}}  capturedAt: server µs of the first reading's end
 * @throws {RangeError} naming what was found when it is no pulse
 */
export function decodePulse(buffer) {
  const view = new DataView(buffer);
  const count = buffer.byteLength > 1 ? view.getUint8(1) : 0;
  if (!count || view.getUint8(0) !== PULSE_TYPE || buffer.byteLength < PULSE_HEADER_BYTES + count * READING_BYTES) {
    throw new RangeError(`a binary message of ${buffer.byteLength} bytes is no pulse; expected type ${PULSE_TYPE}`);
  }
  const [tempo, index] = [view.getUint16(2, true) / TEMPO_STEPS, view.getUint32(4, true)];
  const pulses = Array.from({ length: count }, (_, k) => {
    const at = PULSE_HEADER_BYTES + k * READING_BYTES;
    const shares = READING_FIELDS.map((name, byte) => [name, view.getUint8(at + byte) / 255]);
    const level = -view.getUint8(at + READING_FIELDS.length) / 2;
    return { ...Object.fromEntries(shares), level_db: level, tempo, index: index + k, next_beat: view.getUint16(at + 16, true) / 1000 };
  });
  const known = view.getUint8(PULSE_HEADER_BYTES + (count - 1) * READING_BYTES + READING_FIELDS.length + 1) / 255;
  return { pulses, capturedAt: Number(view.getBigUint64(8, true)), known };
}

/** The picture of a frame, ready for `drawImage`. @param {Frame} frame @returns {Promise<ImageBitmap>} */
export function toBitmap(frame) {
  if (frame.encoding !== 'rgb') {
    return createImageBitmap(new Blob([frame.data], { type: `image/${frame.encoding}` }));
  }
  const pixels = new Uint8ClampedArray(4 * frame.width * frame.height).fill(255);
  for (let from = 0, to = 0; from < frame.data.length; from += 3, to += 4) {
    pixels.set(frame.data.subarray(from, from + 3), to);
  }
  return createImageBitmap(new ImageData(pixels, frame.width, frame.height));
}

/** How long to wait before attempt number `attempt` (from 0), in ms: doubling, capped, half of it left to chance. */
export function backOff(attempt, random = Math.random) {
  const longest = Math.min(5000, 250 * 2 ** Math.min(attempt, 10));
  return longest * (0.5 + 0.5 * random());
}

/** The server's clock as seen from here. The ping with the least round trip is the one to trust (Cristian, 1989). */
export class ServerClock {
  constructor() {
    this.samples = [];
  }

  /** Note one exchange: sent and received in local ms, the server's answer in its µs. */
  note(sent, received, serverTime) {
    this.samples.push({ roundTrip: received - sent, offset: serverTime - 500 * (sent + received) });
    if (this.samples.length > CLOCK_SAMPLES) this.samples.shift();
  }

  get known() {
    return this.samples.length > 0;
  }

  get offset() {
    return this.samples.reduce((best, one) => (one.roundTrip < best.roundTrip ? one : best)).offset;
  }

  /** Local ms as server µs; 0 (unknown) before the first exchange. */
  toServer(local) {
    return this.known ? Math.max(0, Math.round(1000 * local + this.offset)) : 0;
  }

  /** Server µs as local ms; NaN before the first exchange. */
  toLocal(serverTime) {
    return this.known ? (serverTime - this.offset) / 1000 : NaN;
  }
}

/** Packets on their way out: bounded, drop-oldest, counted. */
export class SoundQueue {
  constructor(limit = QUEUED_PACKETS) {
    this.limit = limit;
    this.packets = [];
    this.dropped = 0;
  }

  push(packet) {
    this.packets.push(packet);
    while (this.packets.length > this.limit) {
      this.packets.shift();
      this.dropped += 1;
    }
  }

  /** Hand packets to `socket` as long as little waits inside it; a socket that is closing takes none. */
  drain(socket) {
    if (socket.readyState > SOCKET_OPEN) return;
    while (this.packets.length > 0 && socket.bufferedAmount < BUFFERED_BYTES) socket.send(this.packets.shift());
  }
}

/**
 * Close a socket that is connecting once it is open, for a browser complains of one that is closed before; but soon in
 * any case, for it lets only one at a time connect to a server.
 */
function closeOnceOpen(socket) {
  const close = () => socket.close(CLOSE_NORMAL);
  const late = setTimeout(close, LEAVING_MS);
  socket.onopen = close;
  socket.onclose = () => clearTimeout(late);
}

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

/** The websocket of the server that served this page. */
export function defaultUrl() {
  const url = new URL('/ws', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

/**
 * Join a stage. Resolves when the session has begun; from then on the stage reconnects by itself, with the same
 * parameters, until `close`. Rejects with a StageError when the server refuses (`stage_taken`, `unauthorized`).
 * @param {string} [url]  ws:// or wss://, by default the server of this page
 * @param {Options} [options]
 * @returns {Promise<Stage>}
 */
export async function connect(url = defaultUrl(), options = {}) {
  return new Stage(url, options).open();
}

/**
 * One session on a stage, across reconnects. Handlers are plain properties:
 *
 * - `onframe(frame)`: may return (a promise of) the local time at which the frame was shown, 0 = never shown; without a
 *   number the moment it returns counts. The answer acknowledges the frame: at most two are on their way unacknowledged.
 * - `onpulse({pulses, capturedAt, known})`: readings of the pulse, where the options ask for them
 * - `onstatus(status)`, `onparameters(values)`, `onhello(hello)`, `onerror(StageError)`
 * - `onstate(state, detail)`: 'connecting', 'live', 'waiting' (detail: ms until the next attempt), 'closed' (a StageError)
 */
export class Stage {
  /** @param {string} url @param {Options} options */
  constructor(url, options = {}) {
    this.url = url;
    this.options = { role: 'viewer', sound: null, pulse: false, limitsFlashes: false, takeOver: false, picture: { encoding: 'jpeg', quality: 85 }, ...options };
    this.onframe = this.onpulse = this.onstatus = this.onparameters = this.onhello = this.onerror = this.onstate = () => {};
    /** 'idle', 'connecting', 'live', 'waiting' or 'closed'. */
    this.state = 'idle';
    /** Why the last connection ended, if the server said so. */
    this.reason = '';
    /** What the server said of itself. */
    this.hello = null;
    /** Current parameters, this page's own changes included before the server confirms them. */
    this.values = {};
    this.clock = new ServerClock();
    this.sound = new SoundQueue();
    this._touched = new Set(); // parameters that this page has set: they are set again after a reconnect
    this._confirmed = {};
    this._pending = {};
    this._markers = new Map();
    this._attempt = 0;
    this._session = null; // by which the server knows this page again, and ends its former connection
    this._sequence = 0;
    this._marks = 0;
    this._socket = null;
    this._opening = null;
    this._online = () => this.state === 'waiting' && this._connect();
  }

  /** Packets of sound dropped because the network did not take them. */
  get dropped() {
    return this.sound.dropped;
  }

  /** Local ms at which the newest message came; a server that is well sends two a second. */
  get heardAt() {
    return this._heardAt;
  }

  /** Connect; resolves with this stage when the session has begun. */
  open() {
    globalThis.addEventListener?.('online', this._online);
    this._opening ??= deferred(); // a restart while still connecting keeps the promise that is already out
    const { promise } = this._opening;
    this._attempt = 0;
    this._connect();
    return promise;
  }

  /** Begin a new session with other options (another role, another kind of sound). @param {Options} changes */
  restart(changes) {
    Object.assign(this.options, changes);
    return this.open();
  }

  /** Leave for good. */
  close() {
    globalThis.removeEventListener?.('online', this._online);
    this._leave();
    this._setState('closed', null);
  }

  /**
   * Send sound. It is dropped while there is no session.
   * @param {Float32Array} samples  interleaved, -1..1
   * @param {number} [capturedAt]  local ms at which the first sample was captured; without it the server stamps it
   */
  send(samples, capturedAt = 0) {
    if (!this.options.sound) throw new Error('this session carries no sound; give connect() {sound: {...}}');
    const sequence = this._sequence++;
    if (this.state !== 'live') return;
    const head = { encoding: this.options.sound.encoding, sequence };
    this.sound.push(encodeSound(samples, { ...head, capturedAt: capturedAt && this.clock.toServer(capturedAt) }));
    this.sound.drain(this._socket);
  }

  /** Change parameters; merged per key, newest wins, at most thirty messages a second. Performers only. */
  set(values) {
    Object.assign(this.values, values);
    Object.assign(this._pending, values);
    for (const name of Object.keys(values)) this._touched.add(name);
    if (!this._flushTimer) this._flush();
  }

  /** Say that there is a beat, now or at local ms `at`; it corrects the beat that the stage hears. Performers only. */
  tap(at = performance.now()) {
    this._say({ type: 'tap', at: this.clock.toServer(at) });
  }

  /** Resolves with {id, sequence, heardUntil} once all sound sent so far has shaped a frame that was sent. */
  mark(id = `mark ${this._sequence}.${this._marks++}`) {
    return new Promise((resolve, reject) => {
      if (this.state !== 'live') throw new StageError('not_started', 'the stage is not connected');
      this._markers.set(id, { resolve, reject });
      this._say({ type: 'marker', id });
    });
  }

  /** How long ago `frame`'s newest sound was captured when it was shown at local ms `shownAt`; NaN if unknown. */
  latency(frame, shownAt) {
    return frame.heardUntil ? shownAt - this.clock.toLocal(frame.heardUntil) : NaN;
  }

  _connect() {
    this._leave(); // there may be one already, when this is asked for twice
    this._setState('connecting', null);
    if (this.state !== 'connecting' || this._socket) return; // whoever was told has closed it, or begun anew
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    socket.binaryType = 'arraybuffer';
    this._socket = socket;
    this.clock = new ServerClock(); // a restarted server counts from elsewhere
    this._heardAt = performance.now();
    const current = (handle) => (event) => this._socket === socket && handle(event);
    socket.onmessage = current((event) => this._receive(event.data));
    socket.onclose = current((event) => this._lost(event));
    this._watch(PING_BURST);
  }

  _receive(data) {
    this._heardAt = performance.now();
    if (typeof data !== 'string') return this._binary(data);
    const message = JSON.parse(data);
    const handle = { hello: '_greet', started: '_started', parameters: '_parameters', status: '_status' }[message.type];
    const other = { marker: '_marked', pong: '_pong', error: '_error' }[message.type];
    if (handle ?? other) this[handle ?? other](message);
  }

  _binary(data) {
    if (new Uint8Array(data, 0, 1)[0] === PULSE_TYPE) this.onpulse(decodePulse(data));
    else this._show(decodeFrame(data, this.hello.stages));
  }

  _greet(hello) {
    this.hello = hello;
    this.onhello(hello);
    const { role, sound, picture, pulse, limitsFlashes, takeOver, token } = this.options;
    const wishes = { pulse, limits_flashes: limitsFlashes, take_over: takeOver, session: this._session };
    if (hello.token_required && typeof token === 'function') return this._ask(token);
    return this._say({ type: 'start', role, sound, picture, ...wishes, ...(hello.token_required ? { token } : {}) });
  }

  async _ask(token) {
    this._leave(); // a server does not wait for people who type
    const answer = await token();
    if (this.options.token !== token || this.state === 'closed') return;
    this.options.token = answer;
    this._connect();
  }

  _started(message) {
    const kept = Object.entries(this.values).filter(([name, value]) => {
      return this._touched.has(name) && name in message.parameters && message.parameters[name] !== value;
    });
    this._attempt = 0;
    this._session = message.session ?? null;
    this._pending = this.options.role === 'performer' ? Object.fromEntries(kept) : {};
    this.sound.packets = [];
    this._parameters({ values: message.parameters });
    this._setState('live', message);
    this._flush();
    this._opening?.resolve(this);
    this._opening = null;
  }

  _parameters({ values }) {
    this._confirmed = values;
    this.values = { ...values, ...this._pending };
    this.onparameters(this.values);
  }

  _status(status) {
    this.onstatus(status);
  }

  async _show(frame) {
    const socket = this._socket;
    const answer = await this.onframe(frame);
    if (this._socket !== socket || this.state !== 'live') return;
    const shownAt = typeof answer === 'number' ? answer : performance.now();
    this._say({ type: 'acknowledge', sequence: frame.sequence, shown_at: shownAt && this.clock.toServer(shownAt) });
  }

  _marked({ id, sequence, heard_until: heardUntil }) {
    this._markers.get(id)?.resolve({ id, sequence, heardUntil });
    this._markers.delete(id);
  }

  _pong({ client_time: sent, server_time: serverTime }) {
    this.clock.note(sent, performance.now(), serverTime);
  }

  _error({ code, message, fatal, retry_after: seconds }) {
    const error = new StageError(code, message);
    if (code === 'try_again') return this._lost({ reason: message, seconds });
    if (code === 'bad_parameter') this._parameters({ values: this._confirmed });
    const starting = this.state === 'connecting';
    if ((starting && this._opening) || HOPELESS.has(code)) return this._refused(error);
    this.onerror(error);
    // After a broken link the server may still hold this page's own former session for a while: try again.
    return starting || fatal ? this._lost({ reason: message }) : undefined;
  }

  _refused(error) {
    globalThis.removeEventListener?.('online', this._online);
    this._leave();
    this._setState('closed', error);
    this._opening?.reject(error);
    this._opening = null;
  }

  /** Try again later: after `seconds` at least, if the server said so. */
  _lost({ reason, code, seconds = 0 }) {
    if (code === CLOSE_REPLACED) return this._refused(new StageError('replaced', reason));
    this.reason = reason;
    this._leave();
    const wait = Math.max(backOff(this._attempt++), 1000 * seconds);
    this._retry = setTimeout(() => this._connect(), wait);
    return this._setState('waiting', wait);
  }

  _leave() {
    clearTimeout(this._retry);
    const socket = this._socket;
    this._detach();
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'bye' }));
    if (socket?.readyState === WebSocket.CONNECTING) closeOnceOpen(socket);
    else socket?.close(CLOSE_NORMAL);
  }

  _detach() {
    clearTimeout(this._pinger);
    this._socket = null;
    for (const { reject } of this._markers.values()) reject(new StageError('not_started', 'the connection was lost'));
    this._markers.clear();
  }

  _watch(burst) {
    const again = () => this._watch(Math.max(0, burst - 1));
    this._pinger = setTimeout(again, burst > 0 ? PING_BURST_MS : PING_INTERVAL_MS);
    if (performance.now() - this._heardAt > SILENT_LINK_MS) {
      this._lost({ reason: '' });
      return;
    }
    if (this.hello) this._say({ type: 'ping', client_time: performance.now() });
  }

  _flush() {
    clearTimeout(this._flushTimer);
    this._flushTimer = undefined;
    if (Object.keys(this._pending).length === 0 || this.state !== 'live') return;
    this._say({ type: 'parameters', values: this._pending });
    this._pending = {};
    this._flushTimer = setTimeout(() => this._flush(), PARAMETER_INTERVAL_MS);
  }

  _say(message) {
    if (this._socket?.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify(message));
  }

  _setState(state, detail) {
    this.state = state;
    this.onstate(state, detail);
  }
}
