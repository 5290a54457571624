/**
 * Light settings over time: a state machine that turns readings of the pulse into slowly gliding settings of the light.
 *
 * The twin of `runtime/output/light_state.py`, number for number: constants, reasons and units stand there.
 */

const AMOUNT_TIME = 0.1;
const HUE_TIME = 0.45;
const PLACE_TIME = 0.3;
const FINENESS_TIME = 0.35;
const TURBULENCE_TIME = 0.5;
const SHEETS_TIME = 1.2;
const SYMMETRY_TIME = 1.2;
const [QUICK_RISE, QUICK_FALL] = [0.025, 0.14];
const [SLOW_RISE, SLOW_FALL] = [0.18, 1.8];
const BREATH_TIME = 0.06;
const RIPPLE_TIME = 0.035;
const RIPPLE_KEPT = 0.85;

export const RINGS = 8;
const PUSH = 2.4;
const MAX_STEP = 0.01;
const MAX_PAUSE = 1.0;

const [QUIETEST_DB, LOUDEST_DB, SILENCE_DB] = [-60.0, -6.0, -120.0];
const FIXED_SHARE = 0.65;
const QUICK_LIGHT = 0.12;
const QUICK_EXTENT = 0.28;
export const MAX_SHEETS = 4;
const [REST_FLOW, LOUD_FLOW, PUSH_FLOW] = [0.05, 0.35, 2.2];
const AWAKE = 0.05;

const RIM = 0.45;
const [WINDOW_INNER, WINDOW_OUTER] = [0.45, 1.35];

const unit = (value) => Math.min(Math.max(value, 0), 1);
const share = (seconds, time) => 1 - Math.exp(-seconds / time);
const turn = (value) => value - Math.floor(value);
const shortest = (turns) => turns - Math.floor(turns + 0.5);

/** Light that follows the pulse. Feed it the newest reading once for each picture. */
export class LightState {
  constructor() {
    this._index = -1;
    this._amount = this._quick = this._slow = this._breath = 0;
    [this._hue, this._place, this._fineness] = [0.6, 0.4, 0.3];
    this._turbulence = this._symmetry = this._sheets = 0;
    this._push = 0;
    this._ripple = new Array(RINGS).fill(0);
    this._time = 0;
  }

  /**
   * The settings `seconds` after the last ones, at most a second of which count. `onset` is the strongest onset since the last
   * call; where there is none given, that of `pulse` counts, once.
   */
  advance(pulse, seconds, { amount = 1, onset = null } = {}) {
    const pushed = onset ?? (pulse.index === this._index ? 0 : pulse.onset);
    this._index = pulse.index;
    this._push += PUSH * unit(pushed);
    const all = Math.min(Math.max(seconds, 0), MAX_PAUSE);
    const steps = Math.max(1, Math.ceil(all / MAX_STEP));
    for (let i = 0; i < steps; i += 1) this._step(pulse, all / steps, unit(amount));
    return this._settings();
  }

  _step(pulse, seconds, amount) {
    const heard = loudness(pulse);
    const awake = Math.min(heard / AWAKE, 1);
    this._amount += (amount - this._amount) * share(seconds, AMOUNT_TIME);
    this._quick += (heard - this._quick) * share(seconds, heard > this._quick ? QUICK_RISE : QUICK_FALL);
    this._slow += (heard - this._slow) * share(seconds, heard > this._slow ? SLOW_RISE : SLOW_FALL);
    this._follow(pulse, seconds * awake);
    const breath = unit(pulse.beat_confidence) * Math.cos(2 * Math.PI * pulse.beat_phase) * awake;
    this._breath += (breath - this._breath) * share(seconds, BREATH_TIME);
    const part = share(seconds, RIPPLE_TIME);
    let before = this._push;
    this._push -= this._push * part;
    for (let ring = 0; ring < RINGS; ring += 1) {
      const now = this._ripple[ring];
      this._ripple[ring] = now + (before - now) * part;
      before = RIPPLE_KEPT * now;
    }
    this._time += seconds * (REST_FLOW + LOUD_FLOW * this._quick + PUSH_FLOW * Math.min(this._ripple[0], 1));
  }

  _follow(pulse, seconds) {
    const sure = seconds * unit(pulse.pitch_confidence);
    this._hue = turn(this._hue + shortest(pulse.pitch_class - this._hue) * share(sure, HUE_TIME));
    this._place += (unit(pulse.pitch_height) - this._place) * share(sure, PLACE_TIME);
    this._fineness += (unit(pulse.brightness) - this._fineness) * share(seconds, FINENESS_TIME);
    this._turbulence += (unit(pulse.noisiness) - this._turbulence) * share(seconds, TURBULENCE_TIME);
    this._sheets += (unit(pulse.density) - this._sheets) * share(seconds, SHEETS_TIME);
    this._symmetry += (unit(pulse.harmonicity) - this._symmetry) * share(seconds, SYMMETRY_TIME);
  }

  _settings() {
    return {
      amount: this._amount,
      hue: this._hue,
      place: this._place,
      fineness: this._fineness,
      turbulence: this._turbulence,
      sheets: 1 + (MAX_SHEETS - 1) * this._sheets,
      symmetry: this._symmetry,
      extent: this._slow + QUICK_EXTENT * (this._quick - this._slow),
      light: this._slow + QUICK_LIGHT * (this._quick - this._slow),
      breath: this._breath,
      ripple: [...this._ripple],
      time: this._time,
    };
  }
}

/** How loud a reading is, 0 to 1: mostly in dBFS, so that a piano 12 dB quieter is another picture. */
export function loudness(pulse) {
  const fixed = unit((Math.max(pulse.level_db, SILENCE_DB) - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB));
  return fixed * (FIXED_SHARE + (1 - FIXED_SHARE) * unit(pulse.level));
}

/** `[field, rim]`: how much light fills the wall, and how much stays round a picture. Their sum is the amount of the light. */
export function lightAmount(light, known) {
  const [most, part] = [unit(light), unit(known)];
  const sure = part * part * (3 - 2 * part);
  return [most * (1 - sure), most * sure * RIM];
}

/** The factor of the light at `(x, y)`, half heights from the middle of the wall, 0 to 1. */
export function lightMask(x, y, field, rim) {
  const edge = unit((Math.hypot(x, y) - WINDOW_INNER) / (WINDOW_OUTER - WINDOW_INNER));
  const window = edge * edge * (3 - 2 * edge);
  return field + rim > 0 ? (field + rim * window) / (field + rim) : 0;
}

/** The same as `lightMask`, for fragment sources: `float lightMask(vec2 p, float field, float rim)`. */
export const LIGHT_MASK = `
float lightMask(vec2 p, float field, float rim) {
  float window = smoothstep(${WINDOW_INNER.toFixed(4)}, ${WINDOW_OUTER.toFixed(4)}, length(p));
  return (field + rim * window) / max(field + rim, 1e-6);
}
`;
