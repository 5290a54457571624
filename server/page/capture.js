/**
 * The AudioWorklet that hands sound to the page: packets of about 10 ms, mono, with their context time, and the readings
 * of the pulse that the sound gives, which wait for no server.
 *
 * It runs on the audio thread. Silence is posted too: the engine learns that nothing sounds from silent samples, not from
 * missing ones. Loaded by sound.js; a message of the page's is a beat that was tapped, `{tap: seconds}` of context time,
 * or that nothing was heard for so long, `{pause: seconds}`: context time stands still then.
 */

import { PulseTracker } from './pulse.js';

const PACKET_SECONDS = 0.01;
const READING_SECONDS = 0.01;
const QUANTUM = 128; // samples per call, fixed by the Web Audio API

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.length = QUANTUM * Math.max(1, Math.round((PACKET_SECONDS * sampleRate) / QUANTUM));
    this.packet = new Float32Array(this.length);
    this.filled = 0;
    this.startedAt = 0;
    this.heard = 0; // samples that the tracker has taken
    this.tracker = new PulseTracker(sampleRate);
    this.port.onmessage = ({ data: { tap, pause } }) => {
      if (pause) this.tracker.pause(pause);
      else this.tracker.tap(Math.round((tap - this.origin) / READING_SECONDS) - 1);
    };
  }

  process([input]) {
    if (this.filled === 0) this.startedAt = currentTime;
    if (input.length > 0) this.packet.set(input[0], this.filled); // a source that is stopped gives no channel at all
    this.filled += QUANTUM;
    if (this.filled === this.length) this.post();
    return true;
  }

  /** Context time at which the tracker's first sample would have been, had nothing ever paused. */
  get origin() {
    return this.endedAt - this.heard / sampleRate;
  }

  post() {
    const pulses = this.tracker.push(this.packet);
    this.heard += this.length;
    this.endedAt = this.startedAt + this.length / sampleRate;
    const first = pulses.length > 0 ? this.origin + (pulses[0].index + 1) * READING_SECONDS : 0;
    this.port.postMessage({ samples: this.packet, time: this.startedAt, pulses, first }, [this.packet.buffer]);
    this.packet = new Float32Array(this.length);
    this.filled = 0;
  }
}

registerProcessor('clavilux-capture', Capture);
