/**
 * The AudioWorklet that hands sound to the page: packets of 10 ms, mono, with their context time, the readings of the
 * pulse that the sound gives, which wait for no server, and twenty times a second the levels of all its channels.
 *
 * It runs on the audio thread. Silence is posted too: the engine learns that nothing sounds from silent samples, not from
 * missing ones. Loaded by sound.js, whose messages are a beat that was tapped, `{tap: seconds}` of context time; that
 * nothing was heard for so long, `{pause: seconds}`: context time stands still then; and, with every new source, the
 * channels to use, `{use: [1, 2]}`, counted from 1, null for all. A packet's `turn` is how many of these it knows of.
 */

import { ChannelLevels } from './channel_levels.js';
import { BLOCK_RATE, Mixdown } from './mixdown.js';
import { PulseTracker } from './pulse.js';

const READING_SECONDS = 0.01;
const QUANTUM = 128; // samples per call, fixed by the Web Audio API
const MAX_CHANNELS = 32; // that a node can have, by the Web Audio API
const METERS_EVERY = 5; // packets

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.length = Math.floor(sampleRate / BLOCK_RATE);
    this.block = Array.from({ length: MAX_CHANNELS }, () => new Float32Array(this.length));
    this.filled = 0;
    this.seen = 0; // channels that the block has; none while a source is stopped
    this.use = null;
    this.uses = 0; // that it was told,
    this.turn = 0; // and of which the packets know
    this.stale = 0; // blocks in which the source before may still sound
    this.packets = 0;
    this.heard = 0; // samples that the tracker has taken
    this.tracker = new PulseTracker(sampleRate);
    this.arrange(1);
    this.port.onmessage = ({ data }) => this.told(data);
  }

  told({ tap, pause, use }) {
    if (pause) this.tracker.pause(pause);
    if (tap !== undefined) this.tracker.tap(Math.round((tap - this.origin) / READING_SECONDS) - 1);
    if (use === undefined) return;
    this.use = use;
    this.uses += 1;
    this.stale = 2;
    this.arrange(this.channels.length);
  }

  /** Begin anew with a source of so many channels, of which those are used that were chosen, or all. */
  arrange(count) {
    this.channels = this.block.slice(0, count);
    const chosen = (this.use ?? []).filter((number) => number <= count);
    this.used = chosen.length > 0 ? chosen : this.channels.map((_, index) => index + 1);
    this.parts = this.used.map((number) => this.block[number - 1]);
    this.mixdown = new Mixdown(this.parts.length);
    this.levels = new ChannelLevels(count);
  }

  process([input]) {
    for (let from = 0; from < QUANTUM; ) {
      const to = Math.min(QUANTUM, from + this.length - this.filled);
      this.take(input, from, to);
      from = to;
      if (this.filled === this.length) this.post(currentTime + from / sampleRate);
    }
    return true;
  }

  take(input, from, to) {
    this.seen = Math.max(this.seen, input.length);
    input.forEach((channel, index) => {
      const into = this.block[index];
      for (let at = from; at < to; at += 1) {
        const sample = channel[at];
        into[this.filled + at - from] = Number.isFinite(sample) ? sample : 0; // or no mean would ever be a number again
      }
    });
    this.filled += to - from;
  }

  /** Context time at which the tracker's first sample would have been, had nothing ever paused. */
  get origin() {
    return this.endedAt - this.heard / sampleRate;
  }

  /** Hand over the block that ended at `end`, context time. */
  post(end) {
    if (this.seen > 0 && this.seen !== this.channels.length) this.arrange(this.seen);
    else if (this.stale > 0) this.arrange(this.channels.length);
    if (this.stale === 0) this.turn = this.uses;
    this.stale = Math.max(0, this.stale - 1);
    this.levels.push(this.channels);
    const samples = this.mixdown.mix(this.parts).slice(); // the one that is handed over
    const pulses = this.tracker.push(samples);
    this.heard += this.length;
    this.endedAt = end;
    this.packets += 1;
    const first = pulses.length > 0 ? this.origin + (pulses[0].index + 1) * READING_SECONDS : 0;
    const meters = this.packets % METERS_EVERY === 0 ? this.meters() : null;
    const time = end - this.length / sampleRate;
    this.port.postMessage({ samples, time, pulses, first, meters, turn: this.turn }, [samples.buffer]);
    for (const part of this.channels) part.fill(0);
    this.filled = this.seen = 0;
  }

  /** Levels of all channels, and the one that is taken alone, counted from 1, with what the mean would lose, dB. */
  meters() {
    const { taken, loss } = this.mixdown;
    return { channels: this.levels.read(), used: this.used, taken: taken === null ? null : this.used[taken - 1], loss };
  }
}

registerProcessor('clavilux-capture', Capture);
