/**
 * Modulation: routes move parameters by what is heard now, by the beat and by two slow waves.
 *
 * The twin of the server's `runtime/control/modulation.py`, number for number: the server moves what its pictures are made
 * of, this page what its screen does, sixty times a second. Times are seconds.
 */

const ROUTE_COUNT = 12;
const READING_SECONDS = 0.01;
const TIMED = new Set(['beat', 'beat_phase', 'known', 'lfo_1', 'lfo_2']);
const CERTAIN = [0.2, 0.5]; // confidence of the beat below which it moves nothing, and from which it moves all
const QUIET = 0.5; // s without a reading, after which nothing sounds
const LEAST = 1e-4; // of an envelope; nearer than this it has come to rest
const MAX_PAUSE = 1;
const SHAPE = /^\s*(\w+)\s*>\s*(\w+)\s+([^\s,]+)\s*((?:,\s*\w+\s+[^\s,]+\s*)*)$/;

/** What a line may leave out. */
export const REST = Object.freeze({ attack: 0, release: 0.1, curve: 1 });

/** A route of its line: {source, target, amount, attack, release, curve}; null for an empty or a wrong one. */
export function parseRoute(line) {
  const found = SHAPE.exec(line);
  if (!found) return null;
  const [, source, target, amount, rest] = found;
  const route = { source, target, amount: Number(amount), ...REST };
  for (const part of rest.split(',').slice(1)) {
    const [name, value] = part.trim().split(/\s+/);
    if (!Object.hasOwn(REST, name)) return null;
    route[name] = Number(value);
  }
  return Object.values(route).some(Number.isNaN) ? null : route;
}

/** A slow wave after so many cycles, -1 to 1; all but the ramp begin at 0 and rise. */
export function wave(shape, cycles) {
  const phase = modulo(cycles);
  if (shape === 'sine') return Math.sin(2 * Math.PI * phase);
  if (shape === 'triangle') return 4 * Math.abs(modulo(phase + 0.75) - 0.5) - 1;
  return shape === 'ramp' ? 2 * phase - 1 : phase > 0.5 ? -1 : 1;
}

function modulo(value) {
  return value - Math.floor(value);
}

function limited(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** Owns the envelopes of all routes, the two waves, and the newest beat. */
export class Modulator {
  constructor() {
    /** The beat as the newest reading had it: {at, phase, tempo, confidence}. */
    this.beat = { at: 0, phase: 0, tempo: 0, confidence: 0 };
    this._levels = new Float64Array(ROUTE_COUNT);
    this._waves = [0, 0];
    this._beats = 0;
    this._now = null;
    this._new = false; // whether a reading has come since the last `move`
    this._felt = -Infinity; // when one last had
    this._lines = [];
    this._routes = [];
  }

  /** Take a reading of the pulse that was told at `at` seconds. */
  feel(pulse, values, at) {
    this.beat = { at, phase: pulse.beat_phase, tempo: pulse.tempo, confidence: pulse.beat_confidence };
    this._new = true;
    this._read(values).forEach((route, index) => {
      if (route && !TIMED.has(route.source)) this._follow(index, route, pulse[route.source], READING_SECONDS);
    });
  }

  /**
   * The values as the sound moves them at `now` seconds, each within its range; the ones given stay as they are.
   * @param {object} values @param {object} ranges  hello's description @param {{known?: number, ahead?: number}} seen
   */
  move(values, ranges, now, { known = 0, ahead = 0 } = {}) {
    const elapsed = this._now === null ? 0 : Math.max(now - this._now, 0);
    const passed = Math.min(elapsed, MAX_PAUSE);
    this._now = now;
    if (this._new) this._felt = now;
    this._new = false;
    const silent = now - this._felt > QUIET;
    if (silent) this.beat = { at: this.beat.at, phase: 0, tempo: 0, confidence: 0 };
    this._count(elapsed, now + ahead);
    this._advance(values, passed);
    const sources = this._timed(values, known, now + ahead);
    const moved = {};
    this._read(values).forEach((route, index) => {
      if (!route || !(route.target in ranges)) return;
      if (TIMED.has(route.source)) this._follow(index, route, sources[route.source], passed);
      else if (silent) this._follow(index, route, 0, passed);
      moved[route.target] = (moved[route.target] ?? values[route.target]) + values.react * route.amount * this._levels[index];
    });
    if (!values.react) return values;
    for (const name of Object.keys(moved)) moved[name] = limited(moved[name], ranges[name].low, ranges[name].high);
    return { ...values, ...moved };
  }

  /** Beats since the last whole one at `when` seconds, 0 to 1. */
  phase(when) {
    return modulo(this.beat.phase + ((when - this.beat.at) * this.beat.tempo) / 60);
  }

  /** Count the beats that passed: as many as the tempo has, and as the phase says. */
  _count(elapsed, seen) {
    if (!this.beat.tempo) return;
    const turned = this.phase(seen) - modulo(this._beats);
    this._beats += turned + Math.floor((elapsed * this.beat.tempo) / 60 - turned + 0.5);
  }

  _advance(values, passed) {
    for (const [index, name] of ['lfo_1', 'lfo_2'].entries()) {
      const beats = values[`${name}_beats`];
      if (beats > 0 && this.beat.tempo) this._waves[index] = this._beats / beats;
      else this._waves[index] += passed * values[name];
    }
  }

  _timed(values, known, seen) {
    const [phase, [low, high]] = [this.phase(seen), CERTAIN];
    const weight = this.beat.tempo ? limited((this.beat.confidence - low) / (high - low), 0, 1) : 0;
    return {
      beat: weight * (1 - phase),
      beat_phase: weight * phase,
      known: limited(known, 0, 1),
      lfo_1: wave(values.lfo_1_shape, this._waves[0]),
      lfo_2: wave(values.lfo_2_shape, this._waves[1]),
    };
  }

  _follow(index, { attack, release, curve }, value, seconds) {
    const aim = Math.sign(value) * Math.abs(value) ** curve;
    const constant = Math.abs(aim) > Math.abs(this._levels[index]) ? attack : release;
    const share = constant === 0 ? 1 : 1 - Math.exp(-seconds / constant);
    const level = this._levels[index] + share * (aim - this._levels[index]);
    this._levels[index] = Math.abs(level - aim) < LEAST ? aim : level;
  }

  /** The routes of these values, read again only when a line has changed. */
  _read(values) {
    for (let index = 0; index < ROUTE_COUNT; index += 1) {
      const line = values[`route_${index + 1}`] ?? '';
      if (line === this._lines[index]) continue;
      this._lines[index] = line;
      this._routes[index] = parseRoute(line);
    }
    return this._routes;
  }
}
