/**
 * Roles: what this page is on the stage. A performer with sound, one without, or a projector that may play as well.
 *
 * Only one performer sounds. Who comes second plays without sound, and sounds as soon as the first has left.
 */

import { Stage } from './clavilux.js';

const ASK_AGAIN_MS = 3000; // between polite questions, while the stage does not say whether anyone sounds

/** Takes part with what there is. Set `withoutSound` where the stage hears a sound card of its own. */
export class Roles {
  /**
   * @param {Stage} stage @param {import('./sound.js').Sound} sound
   * @param {import('./notices.js').Notices} notices
   */
  constructor(stage, sound, notices) {
    Object.assign(this, { stage, sound, notices });
    this.withoutSound = false;
    /** Parameters that hold on this screen alone, because the stage does not take them from it. */
    this.own = {};
    this._waiting = false; // for the one who sounds to leave
    this._watchesOnly = false; // the stage has refused to be played from here
    this._asking = false;
    this._askedAt = 0;
  }

  get performing() {
    return this.stage.options.role === 'performer';
  }

  /** Take part: with sound when there is some and the stage has room for it, without otherwise. */
  async perform() {
    if (this._watchesOnly) return;
    const format = this._format();
    const same = JSON.stringify(format) === JSON.stringify(this.stage.options.sound);
    if (this.performing && same && this.stage.state !== 'closed') return;
    try {
      await this.stage.restart({ role: 'performer', sound: format, pulse: format === null });
      if (format) this._admitted();
    } catch (error) {
      if (error.code === 'stage_taken') await this._wait();
      if (error.code === 'not_performer') await this._onlyWatch();
    }
  }

  /** Hear how the stage is: who waits sounds when nobody else does. @param {{sounding?: boolean}} status */
  hear({ sounding }) {
    if (!this._waiting || this._asking || sounding) return undefined;
    if (sounding === undefined && performance.now() - this._askedAt < ASK_AGAIN_MS) return undefined;
    return this._ask();
  }

  /** Play from a projector's window: here at once, and for the stage as soon as it lets this page. */
  async project(values) {
    Object.assign(this.own, values);
    if (this._watchesOnly) return this._keepOwn();
    try {
      if (!this.performing) await this.stage.restart({ role: 'performer', sound: null, pulse: true });
    } catch ({ code }) {
      this._watchesOnly = code !== 'engine_failed';
      this._keepOwn();
      return this._watch();
    }
    this.stage.set(this.own);
    this.own = {};
    return undefined;
  }

  /** What this screen has taken back for itself is the stage's again: its blackout must not be lost here. */
  _keepOwn() {
    this.own = Object.fromEntries(Object.entries(this.own).filter(([, on]) => on));
  }

  /** Watch, and go on trying to: nobody stands at a projector. */
  async _watch() {
    try {
      await this.stage.restart({ role: 'viewer', sound: null, pulse: true });
    } catch ({ code }) {
      if (code !== 'unauthorized') setTimeout(() => this._watch(), ASK_AGAIN_MS);
    }
  }

  async _onlyWatch() {
    this._watchesOnly = true;
    this.notices.say('watching', 'This token only watches. To play, open the page with another one: #token=…');
    await this._watch();
  }

  _format() {
    const sounds = this.sound.active && !this.withoutSound && !this._waiting;
    return sounds ? { encoding: 'pcm16', rate: this.sound.rate, channels: 1 } : null;
  }

  _admitted() {
    this._waiting = false;
    this.notices.clear('taken');
  }

  async _wait() {
    this._waiting = true;
    this._askedAt = performance.now();
    const text =
      'Another performer already plays this stage. The controls here work; your sound takes over when they leave.';
    this.notices.say('taken', text, { 'Try again': () => this._ask() });
    await this.perform();
  }

  /** Ask by a second connection, so that the one there is goes on while the answer is no. */
  async _ask() {
    if (this._asking || !this._waiting) return;
    this._asking = true;
    this._askedAt = performance.now();
    this._waiting = false;
    const probe = new Stage(this.stage.url, { ...this.stage.options, role: 'performer', sound: this._format(), pulse: false });
    try {
      await probe.open();
      probe.close();
      await this.perform();
    } catch {
      this._waiting = true;
    } finally {
      this._asking = false;
    }
  }
}
