/** What the instrument tells of itself: level, latency, rate, the time each stage takes, the connection. */

import { make } from './controls.js';
import { PulseMeters } from './pulse_meters.js';

const SECONDS_KEPT = 3;
const PER_SECOND = 1000;
const FLOOR_DB = -60; // left end of the meter
const STALE_MS = 1000; // sound that stops makes no latency, however long its last picture stays
const PEAK_HOLD_MS = 900;
const PEAK_FALL = 25; // dB/s
const BAR_FALL = 40; // dB/s
const CLIP_DB = -0.1; // a peak from here on is clipped, or will be
const CLIP_SHOWN_MS = 2000;

const CONNECTION = {
  idle: 'not connected',
  connecting: 'connecting',
  live: 'live',
  silent: 'no answer',
  waiting: 'server gone, trying again',
  closed: 'closed',
};

/** The value below which the share `q` of `values` lies; NaN for none. */
export function quantile(values, q) {
  if (values.length === 0) return NaN;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

function element(id) {
  return document.getElementById(id);
}

/** A level meter with falling bar, held peak and the gate's place. Levels in dBFS. */
export class Meter {
  constructor() {
    this.element = element('meter');
    this.text = element('level');
    this.drawnAt = 0;
    this.reset();
  }

  /** Forget what was; there is another source. @param {string} clips  what is said when it clips */
  reset(clips = 'too loud') {
    this.clips = clips;
    this.bar = this.peak = FLOOR_DB;
    this.rms = this.loudest = FLOOR_DB;
    this.peakAt = this.saidAt = 0;
    this.clippedAt = -Infinity;
  }

  /** Take a new reading; what is drawn between two frames of the screen is the loudest of them. */
  note({ rms, peak }) {
    this.rms = Math.max(this.rms, rms);
    this.loudest = Math.max(this.loudest, peak);
    if (peak >= CLIP_DB) this.clippedAt = performance.now();
  }

  /** Mark where the gate is. */
  gate(level) {
    this.element.style.setProperty('--gate', place(level));
  }

  draw(now) {
    const passed = (now - this.drawnAt) / PER_SECOND;
    this.drawnAt = now;
    this.bar = Math.max(this.rms, this.bar - BAR_FALL * passed, FLOOR_DB);
    if (this.loudest >= this.peak) [this.peak, this.peakAt] = [this.loudest, now];
    else if (now - this.peakAt > PEAK_HOLD_MS) this.peak = Math.max(FLOOR_DB, this.peak - PEAK_FALL * passed);
    this.element.style.setProperty('--level', place(this.bar));
    this.element.style.setProperty('--peak', place(this.peak));
    this.element.classList.toggle('hot', now - this.clippedAt < CLIP_SHOWN_MS);
    if (now - this.saidAt > PER_SECOND / 4) this._say(now);
    this.rms = this.loudest = FLOOR_DB;
  }

  _say(now) {
    this.saidAt = now;
    const clipped = now - this.clippedAt < CLIP_SHOWN_MS;
    this.text.value = clipped ? this.clips : this.bar > FLOOR_DB ? `${Math.round(this.bar)} dB`.replace('-', '−') : '−∞ dB';
    this.element.setAttribute('aria-valuenow', Math.round(this.bar));
  }
}

function place(level) {
  return Math.max(0, Math.min(1, 1 - level / FLOOR_DB)).toFixed(3);
}

/** Latency and rate over the last seconds, and the pulse. Handler: `ontap()`, the performer tapped the beat. */
export class Readouts {
  constructor() {
    this.frozen = false;
    this.ontap = () => {};
    this.pulses = new PulseMeters();
    /** Whether the latency contains the input's own delay; not every browser tells it. */
    this.delayKnown = true;
    this.isBack = true; // the stage is not gone
    this.reset();
  }

  /** Take one reading of the pulse; cheap enough for a hundred a second. @param {object} reading  a Pulse */
  pulse(reading) {
    this.pulses.note(reading);
  }

  /** Draw what moves; called once per refresh of the screen. */
  draw(now) {
    this.pulses.draw(now);
  }

  /** Forget what was; a new session has begun. */
  reset() {
    this.shown = []; // {at, latency, stages}
    this.heardUntil = null;
    this.heardAt = -Infinity;
  }

  /** Note a frame that reached the screen at local ms `at`, with its times in ms. */
  note(at, { heardUntil }, { latency, stages }) {
    if (this.heardUntil !== null && heardUntil !== this.heardUntil) this.heardAt = at;
    this.heardUntil = heardUntil;
    this.shown.push({ at, latency: at - this.heardAt < STALE_MS ? latency : NaN, stages });
    while (this.shown[0].at < at - SECONDS_KEPT * PER_SECOND) this.shown.shift();
  }

  /** Show them; called twice a second. */
  render(now) {
    const recent = this.shown.filter(({ at }) => at > now - SECONDS_KEPT * PER_SECOND);
    const latencies = recent.map(({ latency }) => latency).filter(Number.isFinite);
    const [middle, high] = [quantile(latencies, 0.5), quantile(latencies, 0.95)];
    const latency = element('latency');
    latency.replaceChildren(this.frozen ? 'frozen' : latencies.length ? number(middle, 'ms') : '–');
    if (latencies.length && !this.frozen) latency.append(make('small', { textContent: this._more(high) }));
    latency.dataset.milliseconds = latencies.length ? Math.round(middle) : '';
    const rate = recent.length > 1 ? ((recent.length - 1) * PER_SECOND) / (recent.at(-1).at - recent[0].at) : 0;
    element('rate').replaceChildren(rate && !this.frozen ? number(rate, 'per second', rate < 10 ? 1 : 0) : '–');
    if (element('stages').closest('details').open && recent.length) this._stages(recent);
  }

  _more(high) {
    const left = this.delayKnown ? '' : '; the input’s own delay is not in it';
    return `95 % under ${Math.round(high)}${left}`;
  }

  /** The state of the connection, 'silent' where no answer comes, and how many watch; trying again it stays gone. */
  connection(state, viewers = 0) {
    const line = element('connection');
    if (state !== 'connecting') this.isBack = state !== 'waiting';
    const shown = this.isBack ? state : 'waiting';
    line.dataset.state = shown;
    line.firstElementChild.textContent = shown === 'live' && viewers > 0 ? `live, ${viewers} watching` : CONNECTION[shown];
  }

  /** What was lost on the way, in seconds of sound; nothing is said when nothing was. */
  losses(seconds) {
    element('losses').textContent = seconds > 0 ? `${seconds.toFixed(1)} s of sound were dropped on the way` : '';
  }

  _stages(recent) {
    const names = Object.keys(recent.at(-1).stages);
    const means = names.map((name) => recent.reduce((sum, { stages }) => sum + (stages[name] ?? 0), 0) / recent.length);
    const longest = Math.max(1, ...means);
    element('stages').replaceChildren(
      ...names.map((name, index) => {
        const row = make('div', {}, make('dt', { textContent: name }), make('dd', {}, number(means[index], 'ms', 1)));
        row.style.setProperty('--share', (means[index] / longest).toFixed(3));
        return row;
      }),
    );
  }
}

function number(value, unit, digits = 0) {
  const span = make('span', {}, make('b', { textContent: value.toFixed(digits) }), ` ${unit}`);
  return span;
}
