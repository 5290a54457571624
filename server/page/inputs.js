/** The choice of input: which microphones there are, which one is heard, and what to say when something is wrong with it. */

import { explain } from './sound.js';

const REMEMBERED = 'clavilux.input';
const NONE = 'none';

/**
 * The select of inputs in `place`. Handlers: `onchange()` when there is another microphone or none, `onchoice()` before
 * the performer's own choice is taken, `onfile()` when a file is wanted instead.
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
    sound.onlost = (track) => this._lost(track);
    sound.onmute = (track) => this._muted(track);
    navigator.mediaDevices?.addEventListener('devicechange', () => this._devicesChanged());
  }

  /** Listen to the input of the last time, or to the browser's choice. */
  begin() {
    return this.listen(localStorage.getItem(REMEMBERED) ?? '');
  }

  /** Listen to one input, '' = the browser's choice, and say so if that fails. @param {string} id */
  async listen(id) {
    try {
      this._heard(await this.sound.listen(id), id);
    } catch (error) {
      if (id && error.name === 'OverconstrainedError') return this.listen('');
      const actions = { 'Try again': () => this.listen(id), 'Play a file': () => this.onfile() };
      this.notices.say('microphone', explain(error, id), actions);
    }
    await this.list();
    return this.onchange();
  }

  /** Show the inputs there are. */
  async list() {
    const inputs = await this.sound.inputs();
    const options = inputs.map(({ id, label }) => new Option(label, id));
    const current = this._current();
    const known = inputs.some(({ id }) => id === current);
    if (!known) options.unshift(new Option('the browser’s choice', ''));
    if (!current) options.unshift(new Option('no microphone', NONE));
    this.place.replaceChildren(...options);
    this.place.value = current === undefined ? NONE : known ? current : '';
  }

  _current() {
    return this.sound.microphone?.track.getSettings().deviceId;
  }

  _choose(id) {
    this.onchoice();
    if (id !== NONE) this.listen(id);
  }

  _heard(track, id) {
    if (id) localStorage.setItem(REMEMBERED, id);
    else localStorage.removeItem(REMEMBERED);
    for (const topic of ['microphone', 'muted']) this.notices.clear(topic);
    this._sayProcessing(track);
  }

  _sayProcessing(track) {
    const left = this.sound.processing();
    const raw = left.length ? '' : 'unprocessed: no echo cancellation, noise suppression or gain control';
    document.getElementById('raw').textContent = raw;
    if (raw) return this.notices.clear('processing');
    const text = `This browser keeps ${left.join(' and ')} on for “${track.label}”: music will sound thin to the instrument.`;
    return this.notices.say('processing', text);
  }

  _lost(track) {
    const text = `“${track.label}” is gone. It goes on as soon as it is back.`;
    this.notices.say('microphone', text, { 'Use another': () => this.listen('') });
  }

  _muted(track) {
    if (!track.muted) return this.notices.clear('muted');
    return this.notices.say('muted', `“${track.label}” is muted by the system: nothing comes from it.`);
  }

  async _devicesChanged() {
    const { microphone } = this.sound;
    const wanted = this._current() ?? '';
    await this.list();
    if (!microphone?.lost) return;
    const back = (await this.sound.inputs()).find(({ id, label }) => id === wanted || label === microphone.track.label);
    if (back) await this.listen(back.id);
  }
}
