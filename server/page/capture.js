/**
 * The AudioWorklet that hands sound to the page: packets of about 10 ms, mono, with their context time.
 *
 * It runs on the audio thread. Silence is posted too: the engine learns that nothing sounds from silent samples, not from
 * missing ones. Loaded by sound.js.
 */

const PACKET_SECONDS = 0.01;
const QUANTUM = 128; // samples per call, fixed by the Web Audio API

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.length = QUANTUM * Math.max(1, Math.round((PACKET_SECONDS * sampleRate) / QUANTUM));
    this.packet = new Float32Array(this.length);
    this.filled = 0;
    this.startedAt = 0;
  }

  process([input]) {
    if (this.filled === 0) this.startedAt = currentTime;
    if (input.length > 0) this.packet.set(input[0], this.filled); // a source that is stopped gives no channel at all
    this.filled += QUANTUM;
    if (this.filled === this.length) this.post();
    return true;
  }

  post() {
    this.port.postMessage({ samples: this.packet, time: this.startedAt }, [this.packet.buffer]);
    this.packet = new Float32Array(this.length);
    this.filled = 0;
  }
}

registerProcessor('clavilux-capture', Capture);
