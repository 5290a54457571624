/**
 * Where the sound comes from: a microphone or a file, through one AudioWorklet, as packets with their capture time.
 *
 * The graph outlives every connection to the server. A secure context (https or localhost) is assumed; `obstacle` says so
 * when there is none.
 */

const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, voiceIsolation: false };
const NAMES = {
  echoCancellation: 'echo cancellation',
  noiseSuppression: 'noise suppression',
  autoGainControl: 'automatic gain',
  voiceIsolation: 'voice isolation',
};
const ARRIVALS = 512; // packets over which the audio clock is matched to the page's: five seconds
const SLIP_MS = 500; // a context that was paused, or starved, for longer than this has lost its match with the page's clock
const MAX_GAP = 0.5; // s without sound, after which what the pulse knew has grown old (runtime/hearing/pulse/gaps.py),
const MAX_SILENCE = 10; // and of silence that stand for a longer one
const QUIETEST_DB = -120;
const RESUME_MS = 500; // a context that does not run by then waits for a click
const WATCH_MS = 1000; // between two looks at whether packets still come
const QUIET_LOOKS = 3; // in a row without a packet: one alone happens when a machine wakes up

const REASONS = {
  NotAllowedError: 'The browser refused the microphone. Allow it for this page (the icon beside the address), then try again.',
  SecurityError: 'The browser forbids the microphone on this page. Allow it in its settings, then try again.',
  NotFoundError: 'No microphone was found. Plug one in, or play a sound file.',
  NotReadableError: 'The microphone does not answer: another program may hold it, or its cable is loose.',
  OverconstrainedError: 'The chosen input is not there any more. Choose another one.',
  InvalidStateError: 'The browser has closed its sound. Reload the page, then try again.',
};

/** Why this page cannot take sound at all, in words for people; null when it can. */
export function obstacle() {
  if (window.isSecureContext && navigator.mediaDevices) return null;
  return (
    `Browsers give the microphone only to safe pages, and ${location.origin} is not one. ` +
    'Open this page as http://localhost on the machine that runs Clavilux, or through https. ' +
    'Pictures and controls work here all the same.'
  );
}

/** What went wrong with the microphone, in words for people. @param {Error} error @param {string} id  of the chosen input */
export function explain(error, id) {
  if (error.name === 'OverconstrainedError' && !id) return REASONS.NotFoundError; // how WebKit says that there is none
  return REASONS[error.name] ?? `The microphone cannot be opened: ${error.message}`;
}

function decibels(amplitude) {
  return amplitude > 0 ? Math.max(QUIETEST_DB, 20 * Math.log10(amplitude)) : QUIETEST_DB;
}

/** Loudness of one packet: {rms, peak} in dBFS. @param {Float32Array} samples */
export function loudness(samples) {
  let sum = 0;
  let peak = 0;
  for (const sample of samples) {
    sum += sample * sample;
    peak = Math.max(peak, Math.abs(sample));
  }
  return { rms: decibels(Math.sqrt(sum / samples.length)), peak: decibels(peak) };
}

/**
 * Matches the audio clock to `performance.now()`. Packets arrive late by chance but never early, so the least difference of
 * the last seconds is the true one; it needs no output device, unlike `getOutputTimestamp`.
 */
export class AudioTime {
  constructor() {
    this.differences = [];
  }

  /** Local ms at which audio time `seconds` passed, learning from its arrival at local ms `arrived`. */
  local(seconds, arrived) {
    const difference = arrived - 1000 * seconds;
    if (difference - Math.min(...this.differences) > SLIP_MS) this.differences = [];
    this.differences.push(difference);
    if (this.differences.length > ARRIVALS) this.differences.shift();
    return 1000 * seconds + Math.min(...this.differences);
  }

  /** Audio time, in seconds, at local ms `at`. */
  context(at) {
    return (at - Math.min(...this.differences)) / 1000;
  }
}

/**
 * One source of sound. Handlers: `onpacket(samples, capturedAt)`, `onpulse(readings, at)` with
 * the local ms at which the first reading ended, `onlost(track)` and `onmute(track)` of the microphone,
 * `onfileend()`, `onstate(state)` of the audio context: 'running' or something worse, `onstall()` when it runs, as it says,
 * and nothing comes any more, `onflow()` when something does again.
 */
export class Sound {
  constructor() {
    this.onpacket = this.onpulse = this.onlost = this.onmute = this.onfileend = this.onstate = () => {};
    this.onstall = this.onflow = () => {};
    this.context = null;
    this.microphone = null; // {stream, track, node}
    this.file = null; // {name, buffer, node, offset, startedAt}
    this.loop = false;
    this._packets = this._quiet = 0;
  }

  /** Build the graph. Call it in a click, or the browser keeps the context suspended. */
  async open() {
    if (this.context) return;
    this.context = new AudioContext({ latencyHint: 'interactive' });
    this._watch ??= setInterval(() => this._look(), WATCH_MS);
    await this.context.audioWorklet.addModule(new URL('capture.js', import.meta.url));
    const mono = { numberOfInputs: 1, channelCount: 1, channelCountMode: 'explicit' };
    this.capture = new AudioWorkletNode(this.context, 'clavilux-capture', mono);
    this.capture.connect(this.context.destination); // it puts out silence, but nodes that lead nowhere may not run
    this.capture.port.onmessage = (event) => this._packet(event.data, performance.now());
    this.time = new AudioTime();
    const { context } = this;
    const tell = () => this.context === context && this.onstate(context.state);
    let since = null; // when it was suspended, ms
    context.onstatechange = () => {
      tell();
      if (context.state !== 'running') since ??= performance.now();
      else if (since !== null) this._paused((performance.now() - since) / 1000);
      if (context.state === 'running') since = null;
    };
    setTimeout(tell, RESUME_MS);
    this.resume(); // not awaited: without a click it stays pending
  }

  /** Let a context run that the browser has paused. */
  resume() {
    if (this.context && this.context.state !== 'running') this.context.resume().catch(() => {}); // `onstate` tells
  }

  /** A beat was tapped at local ms `at`. */
  tap(at) {
    if (this.time?.differences.length) this.capture.port.postMessage({ tap: this.time.context(at + this._delay) });
  }

  /** Build the graph anew, with the same microphone or file at the same place. */
  async reopen() {
    const { context, microphone, file } = this;
    const offset = file ? this.position : 0;
    const id = microphone?.track.getSettings().deviceId;
    this.context = null;
    context?.close().catch(() => {}); // not awaited: it hangs, or it would not have to be built anew
    if (file) file.node = null;
    await this.open();
    if (microphone) await this.listen(id);
    if (file) this.play(offset);
  }

  /** Nothing was heard for so many seconds. */
  _paused(seconds) {
    if (seconds > MAX_GAP) this.capture.port.postMessage({ pause: Math.min(seconds, MAX_SILENCE) });
  }

  get rate() {
    return this.context.sampleRate;
  }

  get active() {
    return Boolean(this.microphone || this.file);
  }

  /**
   * Listen to a microphone, unprocessed. The one before stays if this one fails.
   * @param {string} [deviceId]  from `inputs`, '' = the browser's choice
   */
  async listen(deviceId = '') {
    const wanted = deviceId ? { deviceId: { exact: deviceId } } : {};
    const audio = { ...RAW, channelCount: { ideal: 2 }, ...wanted };
    const stream = await navigator.mediaDevices.getUserMedia({ audio, video: false });
    const node = this._source(stream);
    this.release();
    const [track] = stream.getAudioTracks();
    this.microphone = { stream, track, node, lost: false };
    this.delay = 1000 * (track.getSettings().latency ?? 0);
    track.addEventListener('ended', () => this._ended(track));
    for (const kind of ['mute', 'unmute']) track.addEventListener(kind, () => this.onmute(track));
    this._route();
    return track;
  }

  /** Whether the capture times contain the input's own delay, which Firefox and WebKit do not tell. */
  get delayKnown() {
    return Boolean(this.file) || this.microphone?.track.getSettings().latency !== undefined;
  }

  /** What the browser does to the sound although it was asked not to: a list of names, empty when it obeys. */
  processing() {
    const settings = this.microphone?.track.getSettings() ?? {};
    return Object.keys(RAW).filter((key) => settings[key]).map((key) => NAMES[key]);
  }

  /** Let go of the microphone. */
  release() {
    this.microphone?.node.disconnect();
    for (const track of this.microphone?.stream.getTracks() ?? []) track.stop();
    this.microphone = null;
  }

  /** The inputs there are, [{id, label}]; labels come only after a permission. */
  async inputs() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const microphones = devices.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId);
    return microphones.map(({ deviceId: id, label }, index) => ({ id, label: label || `Input ${index + 1}` }));
  }

  /** Load a file and play it, heard by the performer and by the stage. Rejects when it is no audio. @param {File} file */
  async load(file) {
    const buffer = await this.context.decodeAudioData(await file.arrayBuffer()).catch(() => {
      throw new Error(`“${file.name}” cannot be played: this browser finds no sound in it. Try WAV, FLAC, MP3 or Ogg.`);
    });
    this.unload();
    this.file = { name: file.name, buffer, node: null, offset: 0, startedAt: 0 };
    this.play();
  }

  /** Play the file on from `offset` seconds. */
  play(offset = this.file.offset) {
    this.pause();
    const node = new AudioBufferSourceNode(this.context, { buffer: this.file.buffer, loop: this.loop });
    const from = offset < this.file.buffer.duration ? offset : 0;
    Object.assign(this.file, { node, offset: from, startedAt: this.context.currentTime });
    node.onended = () => this.file?.node === node && this._fileEnded();
    node.connect(this.context.destination);
    node.start(0, from);
    this._route();
  }

  /** Hold the file where it is. */
  pause() {
    if (!this.file?.node) return;
    this.file.offset = this.position;
    const { node } = this.file;
    this.file.node = null;
    node.stop();
    node.disconnect();
  }

  /** Put the file away; the microphone, if there is one, is heard again. */
  unload() {
    this.pause();
    this.file = null;
    this._route();
  }

  get playing() {
    return Boolean(this.file?.node);
  }

  /** Where the file is, in seconds. */
  get position() {
    if (!this.file?.node) return this.file?.offset ?? 0;
    return (this.file.offset + this.context.currentTime - this.file.startedAt) % this.file.buffer.duration;
  }

  setLoop(loop) {
    this.loop = loop;
    if (this.file?.node) this.file.node.loop = loop;
  }

  _route() {
    this.microphone?.node.disconnect();
    if (this.file) this.file.node?.connect(this.capture);
    else this.microphone?.node.connect(this.capture);
  }

  _source(stream) {
    try {
      return this.context.createMediaStreamSource(stream);
    } catch (error) {
      for (const track of stream.getTracks()) track.stop(); // or the browser shows a microphone in use
      throw error;
    }
  }

  _look() {
    const runs = this.context?.state === 'running' && document.visibilityState === 'visible';
    this._quiet = runs && this._packets === 0 ? this._quiet + 1 : 0;
    if (this._quiet === QUIET_LOOKS) this.onstall();
    this._packets = 0;
  }

  _packet({ samples, time, pulses, first }, arrived) {
    if (this._quiet >= QUIET_LOOKS) this.onflow();
    this._quiet = 0;
    this._packets += 1;
    const length = samples.length / this.rate;
    const captured = this.time.local(time + length, arrived) - 1000 * length;
    this.onpacket(samples, captured - this._delay);
    if (pulses.length > 0) this.onpulse(pulses, captured - this._delay + 1000 * (first - time));
  }

  /** How long the input takes until its sound is here, ms, as far as the browser tells. */
  get _delay() {
    return this.file ? 0 : this.delay ?? 0;
  }

  _ended(track) {
    if (this.microphone?.track !== track) return;
    this.microphone.lost = true;
    this.onlost(track);
  }

  _fileEnded() {
    Object.assign(this.file, { node: null, offset: 0 });
    this.onfileend();
  }
}
