/**
 * Where the sound comes from: a microphone, a tab or a file, through one AudioWorklet, as packets with their capture time.
 *
 * The graph outlives every connection to the server. A secure context (https or localhost) is assumed: streams.js.
 */

import { AudioTime } from './audio_time.js';
import { decode } from './sound_files.js';
import { openMicrophone, openShared } from './streams.js';
import { WATCH_MS, Watch } from './watch.js';

const MAX_GAP = 0.5; // s without sound, after which what the pulse knew has grown old (runtime/hearing/pulse/gaps.py),
const MAX_SILENCE = 10; // and of silence that stand for a longer one
const RESUME_MS = 500; // a context that does not run by then waits for a click
const LAID_OUT = [1, 2, 4, 6]; // channels whose places a browser knows; of others it would play the first two alone
const MANY = { numberOfInputs: 1, channelCountMode: 'max', channelInterpretation: 'discrete' };

/** Stop a stream's tracks, or the browser shows a microphone in use. @param {MediaStream} stream */
function letGo(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/**
 * One source of sound at a time; of several that are asked for the last wins, however late the others come. Handlers:
 * `onpacket(samples, capturedAt, {late})`, which is `late` where the source before may still sound in it,
 * `onpulse(readings, at)` with the local ms at which the first reading ended, `onmeters(meters)` of the source's channels (capture.js),
 * `onlost(live)` and `onmute(live)` of the microphone or tab, `onfileend()`, `onsource()`: it is another one or none,
 * `onstate(state)` of the audio context: 'running' or something worse, `onstall()` when it runs, as it says,
 * and nothing comes any more, `onflow()` when something does again, `onblank(blank)` of a microphone that gives nothing
 * but zeros, or sounds again.
 */
export class Sound {
  constructor() {
    this.onpacket = this.onpulse = this.onmeters = this.onlost = this.onmute = this.onfileend = this.onsource = () => {};
    this.onstate = this.onstall = this.onflow = this.onblank = () => {};
    this.context = null;
    this.live = null; // {kind: 'microphone'|'shared', stream, track, node, latency, use, lost}; `latency` in s, where the browser tells it
    this.file = null; // {name, buffer, node, offset, startedAt, use, goesOn}; `goesOn`: it plays once the graph is anew
    this.loop = false;
    this.monitored = false;
    this._chosen = 0; // how often the performer has chosen what to hear,
    this._came = 0; // and the newest of these choices that has come
    this._turn = 0; // how often the worklet was told which channels to use
    this._watching = new Watch();
  }

  /** Build the graph. Call it in a click, or the browser keeps the context suspended. */
  open() {
    this._opening ??= this._build().catch((error) => {
      this.context.close().catch(() => {});
      this.context = this._opening = null; // or what failed once could never be tried again
      throw error;
    });
    return this._opening;
  }

  async _build() {
    this.context = new AudioContext({ latencyHint: 'interactive' });
    this._watch ??= setInterval(() => this._look(), WATCH_MS);
    await this.context.audioWorklet.addModule(new URL('capture.js', import.meta.url));
    this.capture = new AudioWorkletNode(this.context, 'clavilux-capture', MANY);
    this._turn = 0;
    this.capture.connect(this.context.destination); // it puts out silence, but nodes that lead nowhere may not run
    this.capture.port.onmessage = (event) => this._packet(event.data, performance.now());
    this.capture.onprocessorerror = () => this.onstall();
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

  /** Build the graph anew, with the same source at the same place. */
  async reopen() {
    const { context, live, file } = this;
    if (file) Object.assign(file, { offset: this.position, goesOn: file.goesOn || this.playing, node: null });
    this.context = this._opening = this._routed = null; // the new worklet has been told of no source
    context?.close().catch(() => {}); // not awaited: it hangs, or it would not have to be built anew
    await this.open();
    if (file?.goesOn) this.play();
    else if (file) this._route();
    if (file) file.goesOn = false;
    if (live?.kind === 'microphone') await this.listen(live.track.getSettings().deviceId, live.use);
    else if (live) this._take(live.kind, live.stream, live.use); // asking again would need a click
  }

  /** Nothing was heard for so many seconds. */
  _paused(seconds) {
    if (seconds > MAX_GAP) this.capture.port.postMessage({ pause: Math.min(seconds, MAX_SILENCE) });
  }

  get rate() {
    return this.context.sampleRate;
  }

  get active() {
    return Boolean(this.live || this.file);
  }

  /** What is heard: the file, or else what is live. */
  get source() {
    return this.file ?? this.live;
  }

  /** Whether the source may sound now: it is not held, at its end, or gone. */
  get sounding() {
    return this.file ? this.playing : Boolean(this.live && !this.live.lost);
  }

  /** The performer chooses anew: once that comes, what was asked for before is not wanted any more. */
  choose() {
    this._chosen += 1;
  }

  /** What was asked for; null, and nothing of it is kept, where something that was chosen later is here before it. */
  async _wanted(asked, drop = () => {}) {
    const choice = this._chosen;
    const found = await asked.catch((error) => {
      if (choice >= this._came) throw error;
      return null;
    });
    if (found && choice < this._came) drop(found);
    if (!found || choice < this._came) return null;
    this._came = choice;
    return found;
  }

  /**
   * Listen to a microphone, unprocessed. The source before stays if this one fails. Resolves with null where something
   * else came meanwhile that was chosen later.
   * @param {string} [deviceId]  '' = the browser's choice @param {?number[]} [use]  channels, counted from 1; null: all
   */
  async listen(deviceId = '', use = null) {
    const stream = await this._wanted(openMicrophone(deviceId), letGo);
    return stream && this._take('microphone', stream, use);
  }

  /**
   * Listen to what a tab or the system plays; the browser asks for which. Call it in a click, before anything else.
   * Resolves with null where something else came meanwhile that was chosen later.
   */
  async share() {
    this.choose();
    const stream = await this._wanted(this._askToShare(), letGo);
    return stream && this._take('shared', stream);
  }

  async _askToShare() {
    const opening = this.open(); // not awaited yet: WebKit lets a page ask in the click's own turn alone
    opening.catch(() => {}); // told below, unless nothing was shared
    const stream = await openShared();
    await opening.catch((error) => {
      letGo(stream);
      throw error;
    });
    return stream;
  }

  _take(kind, stream, use = null) {
    const node = this._source(stream);
    if (this.live?.stream !== stream) this._letGo();
    const [track] = stream.getAudioTracks();
    const { latency } = track.getSettings(); // s; Firefox and WebKit do not tell
    const live = { kind, stream, track, node, latency, use, lost: false };
    this.live = live;
    track.onended = () => this._ended(live);
    track.onmute = track.onunmute = () => this.live === live && this.onmute(live);
    this._route();
    return live;
  }

  /** Whether the capture times contain the input's own delay. */
  get delayKnown() {
    return Boolean(this.file) || this.live?.latency !== undefined;
  }

  /** Let go of the microphone or tab. */
  release() {
    this._letGo();
    this._route();
  }

  _letGo() {
    this.monitor(false);
    this.live?.node.disconnect();
    if (this.live) letGo(this.live.stream);
    this.live = null;
  }

  /** Let the performer hear the microphone, until the source changes. It howls where a loudspeaker reaches it. */
  monitor(on) {
    if (this.monitored) this.live.node.disconnect(this.live.node.context.destination);
    this.monitored = on && this.canMonitor;
    if (this.monitored) this.live.node.connect(this.context.destination);
  }

  get canMonitor() {
    return !this.file && this.live?.kind === 'microphone';
  }

  /** Use these channels of the source, counted from 1; null: all of them. @param {?number[]} use */
  use(use) {
    this.source.use = use;
    this._tellUse();
  }

  _tellUse() {
    this._turn += 1;
    this.capture?.port.postMessage({ use: this.source?.use ?? null });
  }

  /**
   * Load a file and play it, heard by the performer and by the stage. Resolves with whether it plays: not where something
   * else came meanwhile that was chosen later. Rejects with one line. @param {File} file
   */
  async load(file) {
    this.choose();
    this._loading = file;
    const buffer = await this._wanted(this.open().then(() => decode(this.context, file)));
    if (!buffer || this._loading !== file) return false;
    this.pause();
    this.file = { name: file.name, buffer, node: null, offset: 0, startedAt: 0, use: null };
    this.play();
    return true;
  }

  /** Play the file on from `offset` seconds. */
  play(offset = this.file.offset) {
    this.pause();
    const node = new AudioBufferSourceNode(this.context, { buffer: this.file.buffer, loop: this.loop });
    const from = offset < this.file.buffer.duration ? offset : 0;
    Object.assign(this.file, { node, offset: from, startedAt: this.context.currentTime });
    node.onended = () => this.file?.node === node && this._fileEnded();
    this._sound(node, this.file.buffer.numberOfChannels);
    node.start(0, from);
    this._route();
  }

  /** Let the performer hear every channel of a file. */
  _sound(node, channels) {
    if (LAID_OUT.includes(channels)) return node.connect(this.context.destination);
    const all = new GainNode(this.context, { gain: 1 / Math.sqrt(channels), channelCount: 1, channelCountMode: 'explicit' });
    const each = new ChannelSplitterNode(this.context, { numberOfOutputs: channels });
    node.connect(each);
    for (let channel = 0; channel < channels; channel += 1) each.connect(all, channel);
    return all.connect(this.context.destination);
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

  /** Put the file away, and what is being loaded; the microphone, if there is one, is heard again. */
  unload() {
    this.choose();
    this._came = this._chosen;
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

  /** Lead the source to the worklet, and nothing else. */
  _route() {
    const { source } = this;
    if (source !== this._routed) this.monitor(false);
    this.live?.node.disconnect();
    if (this.file) this.file.node?.connect(this.capture);
    else this.live?.node.connect(this.capture);
    if (this.monitored) this.live.node.connect(this.context.destination);
    if (source === this._routed) return;
    this._routed = source;
    this._tellUse();
    this.onsource();
  }

  _source(stream) {
    try {
      return this.context.createMediaStreamSource(stream);
    } catch (error) {
      letGo(stream);
      throw error;
    }
  }

  _look() {
    const seen = document.visibilityState === 'visible';
    if (seen && this.context?.state === 'interrupted') this.resume(); // nobody clicks after a call
    const runs = seen && this.context?.state === 'running';
    if (this.live?.track.readyState === 'ended' && !this.live.lost) this._ended(this.live); // not every end is told
    const live = runs && this.canMonitor && !this.live.lost && !this.live.track.muted; // of both of which it is told
    const { stalls, blanks, sounds } = this._watching.look({ runs, live });
    if (stalls) this.onstall();
    if (blanks || sounds) this.onblank(blanks);
  }

  _packet({ samples, time, pulses, first, meters, turn }, arrived) {
    if (this._watching.note(samples)) this.onflow();
    const length = samples.length / this.rate;
    const captured = this.time.local(time + length, arrived) - 1000 * length;
    const late = turn !== this._turn;
    this.onpacket(samples, captured - this._delay, { late });
    if (pulses.length > 0) this.onpulse(pulses, captured - this._delay + 1000 * (first - time));
    if (meters && !late) this.onmeters(meters);
  }

  /** How long the input takes until its sound is here, ms, as far as the browser tells. */
  get _delay() {
    return this.file ? 0 : 1000 * (this.live?.latency ?? 0);
  }

  _ended(live) {
    if (this.live !== live) return;
    live.lost = true;
    this.onlost(live);
  }

  _fileEnded() {
    Object.assign(this.file, { node: null, offset: 0 });
    this.onfileend();
  }
}
