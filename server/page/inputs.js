/** The choice of input: which microphones there are, what is heard, and what to say when something is wrong with it. */

import { keep, recall } from './remember.js';
import { canShare, explain, explainSharing, microphones, processing } from './streams.js';

const REMEMBERED = 'clavilux.input';
const NONE = 'none';
const SHARED = 'shared';
const FILE = 'file';
const OF_A_SOURCE = ['microphone', 'gone', 'blank', 'muted', 'processing', 'file', 'dropped'];
const MAX_CHANNEL = 32;
const FIRST = { input: '', use: null };

function element(id) {
  return document.getElementById(id);
}

/** What was chosen the last time, {input, use}; what is no such choice is none. @param {?string} text */
export function readChoice(text) {
  try {
    const { input, use } = JSON.parse(text);
    const isChannel = (number) => Number.isInteger(number) && number >= 1 && number <= MAX_CHANNEL;
    if (typeof input !== 'string' || !(use === null || (use.length > 0 && use.every(isChannel)))) return FIRST;
    return { input, use };
  } catch {
    return FIRST;
  }
}

/**
 * The select of inputs in `place`, and the lines about what is heard. Handlers: `onchange()` when there is another input
 * or none, `onchoice()` when the performer's own choice is taken, `onfile()` when a file is wanted instead.
 */
export class Inputs {
  /**
   * @param {HTMLSelectElement} place @param {import('./sound.js').Sound} sound
   * @param {import('./notices.js').Notices} notices
   */
  constructor(place, sound, notices) {
    Object.assign(this, { place, sound, notices });
    this.onchange = this.onchoice = this.onfile = () => {};
    place.onchange = () => this._choose(place.value);
    element('monitor').onclick = () => this._monitor();
    sound.onlost = (live) => (live === sound.source ? this.tell() : this.list());
    sound.onmute = (live) => live === sound.source && this._muted(live);
    sound.onblank = (blank) => this._blank(blank);
    navigator.mediaDevices?.addEventListener('devicechange', () => this._devicesChanged());
  }

  /** Listen to the input of the last time, or to the browser's choice. */
  begin() {
    const { input, use } = readChoice(recall(REMEMBERED));
    return this.listen(input, use);
  }

  /**
   * Listen to one input, and say so if that fails; nothing is done where it comes after a later choice.
   * @param {string} id  '' = the browser's choice
   * @param {?number[]} [use]  channels, counted from 1; null: all
   */
  async listen(id, use = null) {
    try {
      if (!(await this.sound.listen(id, use))) return undefined;
      keep(REMEMBERED, id || use ? JSON.stringify({ input: id, use }) : null);
    } catch (error) {
      if (id && error.name === 'OverconstrainedError') return this._instead(error, id);
      const actions = { 'Try again': () => this._ask(id, use), 'Play a file': () => this.onfile() };
      this.notices.say('microphone', explain(error, id), actions);
    }
    await this.list();
    return this.onchange();
  }

  /** Listen to the browser's choice, for the input `id` is gone. */
  async _instead(error, id) {
    await this.listen('');
    if (!this.sound.file) this.notices.say('gone', explain(error, id));
  }

  /** Listen to an input, for the performer has just asked for it. */
  _ask(id, use = null) {
    this.sound.choose();
    return this.listen(id, use);
  }

  /** Listen to what a tab or the system plays, or no longer. Call it in a click. */
  async share() {
    if (this._sharing) this.sound.release();
    else if (!(await this._share())) return undefined;
    await this.list();
    return this.onchange();
  }

  /** The channels were chosen: they are the input's at the next start too. @param {?number[]} use */
  used(use) {
    const { live, file } = this.sound;
    if (file || live?.kind !== 'microphone') return;
    const { input } = readChoice(recall(REMEMBERED));
    keep(REMEMBERED, JSON.stringify({ input, use }));
  }

  /** Say what there is to know of the source, and nothing of the one before: there is another one, or it has ended. */
  tell() {
    for (const topic of OF_A_SOURCE) this.notices.clear(topic);
    const { source, live } = this.sound;
    const isHeard = Boolean(live) && source === live;
    element('raw').textContent = '';
    if (isHeard && live.lost) this._lost(live);
    else if (isHeard) {
      this._muted(live);
      this._sayProcessing(live.track);
    }
    return this.list();
  }

  /** Show the inputs there are, and which is heard. */
  async list() {
    const inputs = await microphones();
    const options = inputs.map(({ id, label }) => new Option(label, id));
    const current = this._current();
    const known = inputs.some(({ id }) => id === current);
    if (this._sharing) options.unshift(new Option(this._name(this.sound.live), SHARED));
    if (!known && current !== SHARED) options.unshift(new Option('the browser’s choice', ''));
    if (current === NONE) options.unshift(new Option('no microphone', NONE));
    if (current === FILE) options.unshift(new Option('a file', FILE));
    this.place.replaceChildren(...options);
    this.place.value = known || [NONE, FILE, SHARED].includes(current) ? current : '';
    this.show();
  }

  /** Bring the buttons in line with the sound. */
  show() {
    element('monitor').hidden = !this.sound.canMonitor;
    element('monitor').setAttribute('aria-pressed', this.sound.monitored);
    element('open-tab').hidden = !canShare();
    element('open-tab').textContent = this._sharing ? 'stop sharing' : 'hear a tab';
  }

  get _sharing() {
    const { live } = this.sound;
    return live?.kind === SHARED && !live.lost;
  }

  _current() {
    const { file, live } = this.sound;
    if (file) return FILE;
    if (!live || (live.lost && live.kind === SHARED)) return NONE;
    return live.kind === SHARED ? SHARED : live.track.getSettings().deviceId;
  }

  _name({ kind, track }) {
    return kind === SHARED ? 'what is shared' : `“${track.label}”`;
  }

  _choose(id) {
    this.onchoice();
    if (![NONE, FILE, SHARED].includes(id)) this.listen(id);
  }

  _monitor() {
    this.sound.monitor(!this.sound.monitored);
    this.show();
  }

  /** Share, or say why not; false where it comes after a later choice. */
  async _share() {
    try {
      if (!(await this.sound.share())) return false;
      this.onchoice();
    } catch (error) {
      this.notices.say('microphone', explainSharing(error));
    }
    return true;
  }

  _sayProcessing(track) {
    const left = processing(track);
    const raw = left.length ? '' : 'unprocessed: no echo cancellation, noise suppression or gain control';
    element('raw').textContent = raw;
    if (raw) return;
    const what = `${left.join(' and ')} on for “${track.label}”`;
    const text = `This browser keeps ${what}: music will sound thin to the instrument.`;
    this.notices.say('processing', text);
  }

  _lost(live) {
    const microphone = () => this._ask('');
    if (live.kind === SHARED) {
      const actions = { 'Share again': () => this.share(), 'Use a microphone': microphone };
      return this.notices.say('microphone', 'The sharing has ended: no sound comes any more.', actions);
    }
    const text = `${this._name(live)} is gone. It goes on as soon as it is back.`;
    return this.notices.say('microphone', text, { 'Use another': microphone });
  }

  _muted(live) {
    if (!live.track.muted) return this.notices.clear('muted');
    const shared = `Nothing comes from ${this._name(live)}: it is silent or held. Let it play, or share another tab.`;
    const muted = `${this._name(live)} is muted by the system: nothing comes from it. Let it sound again there.`;
    return this.notices.say('muted', live.kind === SHARED ? shared : muted);
  }

  _blank(blank) {
    if (!blank) return this.notices.clear('blank');
    const text = `Nothing at all comes from ${this._name(this.sound.live)}, not even noise.`;
    return this.notices.say('blank', `${text} Is it muted, or is nothing plugged in?`);
  }

  async _devicesChanged() {
    const { live } = this.sound;
    await this.list();
    if (!live?.lost || live.kind !== 'microphone') return;
    const wanted = live.track.getSettings().deviceId ?? '';
    const back = (await microphones()).find(({ id, label }) => id === wanted || label === live.track.label);
    if (back) await this.listen(back.id, live.use);
  }
}
