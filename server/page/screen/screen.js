/**
 * The screen: pictures, light and effects, composed for each refresh of the display, with the last word to safety.
 *
 * Order: pictures (interpolated, enlarged, with their ground), light, colours, glow, trails, grain, master, flash limiter.
 * Without WebGL 2, or where only pictures are wanted, it is a `Picture` on a 2d canvas, and nothing else is done to it.
 * Films are composed in the same order by `clavilux.runtime.output.screen`.
 */

import { toBitmap } from '../clavilux.js';
import { Picture } from '../picture.js';
import { Effects, NEUTRAL, placing } from './effects.js';
import { drawnByProgram, openContext } from './gl.js';
import { Light } from './light.js';
import { LightState, lightAmount } from './light_state.js';
import { FlashLimiter } from './limiter.js';
import { CalmGain, Master, opacity } from './master.js';
import { Pacing } from './pictures.js';
import { Resolution, STEPS } from './resolution.js';
import { Plates } from './size.js';

const MAX_SIDE = 2560; // pixels of the canvas; beyond it the browser's own scaling does as well
const MAX_WAIT_MS = 500; // a frame that waited longer was held back by a hidden page: its time says nothing
const MAX_PASSED_S = 0.25; // between two draws, for what moves by itself
const PROGRAM_BUDGET_MS = 16; // for a draw without a graphics processor
const PROGRAM_SHARE = 0.25; // of all time, for draws that nothing asks for: pictures may be made by the same processor
const ASKED_SHARE = 0.75; // and of all time for draws that pictures ask for
const MAX_REST_MS = 200;
const MEASURE_MS = 1000; // between two draws whose cost is measured, for that is a wait,
const PROGRAM_MEASURE_MS = 5000; // and a long one where a program draws
const SETTLE_MS = 3000; // of drawing after the last change, for what follows slowly
const DARK = 1e-3; // amount of light that is not worth drawing
const LIGHT_ROWS = 128; // of the light at least, whose glow needs some
const SHOWN_SHARE = 0.5; // of a picture in what is shown, from which it counts as shown
const WITHOUT = Object.freeze({ ...NEUTRAL, light: 0, master: 1, fade: 0, flash_limit: true, blackout: false, panic: false });
const SILENCE = Object.freeze({
  index: -1, level: 0, level_db: -120, onset: 0, density: 0, brightness: 0, noisiness: 0, harmonicity: 0,
  pitch_class: 0, pitch_height: 0, pitch_confidence: 0, beat_phase: 0, beat_confidence: 0,
});
const LOST_MS = 1000; // a context that comes back by itself does so before
const LOST = 'The graphics driver has stopped drawing. Load this page again; with ?pictures it does without.';
const NO_WEBGL = 'This browser draws without WebGL 2: pictures only, without effects and light.';

/** Everything that belongs to one WebGL context, and is lost with it. */
class Passes {
  constructor(gl) {
    this.plates = new Plates(gl);
    this.effects = new Effects(gl);
    this.light = new Light(gl);
    this.lit = null; // the light that was drawn last
    this.limiter = new FlashLimiter(gl);
  }

  resize(width, height) {
    this.lit = null;
    this.effects.resize(width, height);
    this.limiter.resize(width, height);
  }

  /**
   * @param {object} what share, values, place, settings and spread (of the light), gain, now, passed (s), quality, and
   *   `kept`, whether the light that was drawn last will do
   */
  draw({ settings, quality, kept, ...what }) {
    const [width, height] = this.effects.size;
    this.light.quality = quality;
    const rows = Math.max(height, LIGHT_ROWS);
    if (settings.amount <= DARK) this.lit = null;
    else if (!kept || !this.lit) this.lit = this.light.draw(settings, Math.round((rows * width) / height), rows);
    const shown = this.effects.draw(this.plates, { ...what, light: this.lit });
    const { flash_limit: limited, blackout, panic } = what.values;
    this.limiter.limit(shown, null, 1000 * what.now, Boolean(limited), Boolean(blackout || panic));
  }
}

/** Shows frames on a canvas that covers its parent. `draw` is to be called for each refresh of the display. */
export class Screen {
  /**
   * @param {HTMLCanvasElement} canvas @param {HTMLCanvasElement} glow only used without WebGL
   * @param {{cover?: boolean, plain?: boolean, say?: (text: string) => void}} options `cover` crops
   *   pictures rather than give them ground; `plain` shows pictures only; `say` is told what is missing here,
   *   and '' when it is back
   */
  constructor(canvas, glow, { cover = false, plain = false, say = () => {} } = {}) {
    this.canvas = canvas;
    this.cover = cover;
    this.seen = false;
    this.gl = plain || !capable() ? null : openContext(canvas);
    this.master = new Master();
    this._gain = 1; // of the master, as it was drawn last,
    this._drawn = null; // and when, ms
    if (!this.gl) {
      this.picture = new Picture(canvas, glow);
      this._calm = new CalmGain();
      this.picture.cover = cover;
      if (!plain) say(NO_WEBGL);
      return;
    }
    glow.hidden = true;
    this.pacing = new Pacing();
    this.byProgram = drawnByProgram(this.gl);
    this.resolution = this.byProgram ? new Resolution(PROGRAM_BUDGET_MS, STEPS.length - 1) : new Resolution();
    /** Local ms until which nothing is to be drawn: a program leaves time to others. */
    this.restUntil = 0;
    this._rest = 0; // ms between two draws that no picture and no onset asks for
    this._leastRest = 0; // and that a picture asks for,
    this._restOfLight = 0; // and local ms until which the light rests through those that one asks for
    this._measureEvery = this.byProgram ? PROGRAM_MEASURE_MS : MEASURE_MS; // ms
    this.lightState = new LightState();
    Object.assign(this, { _newest: -1, _waiting: null, _growing: null, _last: null, _frozen: false });
    Object.assign(this, { _restless: Infinity, _measured: 0, _values: null });
    this._begin();
    canvas.addEventListener('webglcontextlost', (event) => {
      event.preventDefault(); // or it does not come back
      setTimeout(() => this.gl.isContextLost() && say(LOST), LOST_MS);
    });
    canvas.addEventListener('webglcontextrestored', () => {
      say('');
      this._begin();
    });
    new ResizeObserver(() => this.fit()).observe(canvas.parentElement);
  }

  /** Whether pictures only are shown. */
  get plain() {
    return !this.gl;
  }

  get frozen() {
    return this.picture ? this.picture.frozen : this._frozen;
  }

  set frozen(frozen) {
    if (this.picture) this.picture.frozen = frozen;
    else if (frozen !== this._frozen) {
      this._frozen = frozen;
      if (frozen) {
        this.pacing.hold(performance.now());
        this._growing?.give(0); // what has hardly begun to grow stays as it is, and the server waits for an answer
        this._growing = null;
      } else this.pacing.release(performance.now());
    }
  }

  /** Show a frame. Resolves with the local ms at which it reached the screen, 0 when a newer one or a freeze came first. */
  async show(frame) {
    if (this.picture) return this._showPlain(frame);
    this._newest = frame.sequence;
    if (this._frozen && this.seen) return 0;
    const image = await toBitmap(frame);
    if (frame.sequence < this._newest) return discard(image);
    this._waiting?.give(discard(this._waiting.image));
    this.restUntil = Math.min(this.restUntil, (this._drawn ?? 0) + this._leastRest);
    return new Promise((give) => {
      this._waiting = { image, give, sequence: frame.sequence, madeAt: frame.madeAt / 1000, since: performance.now() };
    });
  }

  /** End the rest, the light's too: something must not wait. */
  wake() {
    this.restUntil = this._restOfLight = 0;
  }

  async _showPlain(frame) {
    const shownAt = await this.picture.show(frame);
    this.seen = this.picture.seen;
    return shownAt;
  }

  /** A new session counts its frames from elsewhere. */
  reset() {
    if (this.picture) return this.picture.reset();
    this._newest = -1;
    return this.pacing.forget();
  }

  /** Size the canvas to its place, at the resolution that can be drawn in time. */
  fit() {
    if (this.picture) return this.picture.fit();
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    const scale = this.resolution.scale * Math.min(devicePixelRatio, MAX_SIDE / Math.max(width, height));
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    return this._resize(Math.max(Math.round(width * scale), 2), Math.max(Math.round(height * scale), 2));
  }

  _resize(width, height) {
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.passes.resize(width, height);
    this._restless = Infinity;
    // Sizing has emptied the canvas, and the next refresh may come before the next draw.
    if (this._values) this._compose(performance.now(), 0);
  }

  _begin() {
    this.gl = openContext(this.canvas);
    this.passes = new Passes(this.gl);
    if (this._last) this.passes.plates.take(this._last, 1);
    this.fit();
  }

  /**
   * Draw what is to be seen at `now` (ms, as requestAnimationFrame tells it). `values` are parameters by name, moved by
   * the sound already; `pulse` is the newest reading, `onset` the strongest onset since the last call (null: that of
   * `pulse`), `known` the smoothed confidence, 0 to 1, that what is heard has a name. Returns whether anything was drawn.
   */
  draw(now, values, pulse, { onset = null, known = 0 } = {}) {
    if (this.gl?.isContextLost()) return false;
    const passed = this._drawn === null ? 0 : Math.min(Math.max((now - this._drawn) / 1000, 0), MAX_PASSED_S);
    this._drawn = now;
    if (this.picture) return this._dim(values, passed);
    this._spread = lightAmount(values.light ?? 0, known);
    // What a reading lacks is silence: a number that is none would stay in the light for good.
    this._settings = this.lightState.advance({ ...SILENCE, ...pulse }, passed, { amount: this._spread[0] + this._spread[1], onset });
    this._note(now, { ...WITHOUT, ...values }, passed);
    if (!this._waiting && now > this._restless) return false;
    if ((this.resolution.doubtful || now - this._measured > this._measureEvery) && document.visibilityState === 'visible') this._measure(now, passed);
    else this._compose(now, passed);
    this.restUntil = now + this._rest;
    return true;
  }

  /** Where there are pictures only, the master acts on the canvases themselves. */
  _dim(values, passed) {
    const gain = this._calm.advance(this.master.advance(passed, values), passed);
    if (gain === this._gain) return false;
    this._gain = gain;
    this.canvas.parentElement.style.setProperty('--gain', opacity(gain));
    return true;
  }

  /** Remember what is to be shown, and until when there is something to draw. */
  _note(now, values, passed) {
    const gain = this.master.advance(passed, values);
    const same = this._values && gain === this._gain && Object.keys(WITHOUT).every((name) => values[name] === this._values[name]);
    const moving = this._settings.amount > DARK || values.displacement || values.grain || values.trails || this.pacing.share(now) < 1;
    if (!same || moving) this._restless = now + SETTLE_MS;
    else if (this._restless === Infinity) this._restless = now + SETTLE_MS;
    this._values = values;
    this._gain = gain;
  }

  _measure(now, passed) {
    this._measured = now;
    this._restOfLight = 0; // the cost of everything is asked for
    this._drain();
    const begun = performance.now();
    this._compose(now, passed);
    this._drain();
    const cost = performance.now() - begun;
    if (this.byProgram) {
      this._rest = Math.min(cost / PROGRAM_SHARE, MAX_REST_MS);
      this._leastRest = Math.min(cost / ASKED_SHARE, MAX_REST_MS);
    }
    if (this.resolution.note(cost)) this.fit();
  }

  /** Wait until everything has been drawn: reading a pixel is the one way that every browser keeps to. */
  _drain() {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  _compose(now, passed) {
    if (this._waiting && !(this._frozen && this.seen)) this._take(this._waiting, now);
    else if (this._waiting) this._waiting = void this._waiting.give(discard(this._waiting.image));
    const { plates } = this.passes;
    if (!plates.plates) return;
    const { width, height } = this.canvas;
    const place = placing({ width, height, aspect: plates.aspect, cover: this.cover, values: this._values });
    plates.resize(place.rows);
    // What is drawn hardly more often than pictures come has nothing between them to show.
    const share = this._rest > this.pacing.interval / 2 ? 1 : this.pacing.share(now);
    const kept = now < this._restOfLight;
    if (!kept) this._restOfLight = now + this._rest;
    this.passes.draw({ share, values: this._values, place, settings: this._settings, spread: this._spread, gain: this._gain, now: now / 1000, passed, quality: this.byProgram ? 0 : this.resolution.scale, kept });
    if (share >= SHOWN_SHARE) this._tell();
  }

  _take({ image, give, sequence, madeAt, since }, now) {
    this._waiting = null;
    const shown = this.pacing.arrive(Math.min(since, now), madeAt);
    if (shown >= SHOWN_SHARE) this._tell();
    else this._growing?.give(0);
    this.passes.plates.take(image, shown);
    this._last?.close();
    this._last = image; // for a context that is lost
    this._growing = { give, since };
    this.seen = true;
    this.canvas.dataset.sequence = sequence;
  }

  /** The newest picture is what is seen, from the refresh on that the next callback tells. */
  _tell() {
    if (!this._growing) return;
    const { give, since } = this._growing;
    this._growing = null;
    requestAnimationFrame((time) => give(time - since < MAX_WAIT_MS ? time : 0));
  }
}

/** Whether this browser has what the screen needs; asked of a canvas of its own, for a canvas keeps its first context. */
function capable() {
  const gl = openContext(document.createElement('canvas'));
  gl?.getExtension('WEBGL_lose_context')?.loseContext();
  return Boolean(gl);
}

function discard(image) {
  image.close();
  return 0;
}
