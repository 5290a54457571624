/**
 * The channels of a source: a meter for each, the choice of those that are used, and what is said when one is taken
 * alone. In sight where there are several, and where one clips.
 */

import { make } from './controls.js';

const FLOOR_DB = -60; // bottom of the meters
const LOST_DB = 40; // so far below, the mean is nothing
const SAID_MS = 500; // between two changes of what is read, rather than seen
const SETTLED = 10; // meters, half a second: until it sounds, a source may have fewer channels than it will

function element(id) {
  return document.getElementById(id);
}

function place(level) {
  return Math.max(0, Math.min(1, 1 - level / FLOOR_DB)).toFixed(3);
}

/** The choices among `count` channels: each, and neighbours; null is all of them. */
export function choices(count) {
  const each = Array.from({ length: count }, (_, index) => [index + 1]);
  const firsts = each.filter(([number]) => number % 2 === 1 && number < count);
  const pairs = firsts.map(([number]) => [number, number + 1]);
  return [null, ...each, ...(count > 2 ? pairs : [])];
}

function named(use, count) {
  if (use === null) return count === 2 ? 'both channels' : `all ${count} channels`;
  return `channel${use.length > 1 ? 's' : ''} ${use.join('+')}`;
}

/**
 * What is to be known about meters, in words; '' where nothing is.
 * @param {object} meters  of capture.js @param {{isFile?: boolean, answered?: boolean}} state  whether they are those of a
 *   file, which nobody can turn down, and whether there is a stage that takes the mix
 */
export function remark({ channels, taken, loss }, { isFile = false, answered = true } = {}) {
  const clipped = channels.map(({ clipped: clips }, index) => (clips ? index + 1 : 0)).filter(Boolean);
  const far = loss > LOST_DB ? 'nearly all of it' : `${Math.round(loss)} dB`;
  const alone = taken === null || !answered ? '' : `channel ${taken} of ${channels.length} alone: the mean would lose ${far}`;
  const who = clipped.length > 1 ? `channels ${clipped.join(', ')} clip` : `channel ${clipped[0]} clips`;
  const advice = isFile ? ' in the file itself, which is cut off at full scale' : ': turn the source down';
  const clips = clipped.length > 0 ? `${channels.length === 1 ? 'it clips' : who}${advice}` : '';
  return [alone, clips].filter(Boolean).join('; ');
}

/** Shows the channels of `sound`. Handler: `onuse(use)`, the performer has chosen some: numbers from 1, or null for all. */
export class Channels {
  /** @param {import('./sound.js').Sound} sound @param {import('./notices.js').Notices} notices */
  constructor(sound, notices) {
    Object.assign(this, { sound, notices });
    this.onuse = () => {};
    this.answered = false; // the stage is there
    this.saidAt = -Infinity;
    this.reset();
    element('use').onchange = () => this._use(element('use').value);
    sound.onmeters = (meters) => this._note(meters);
  }

  /** There is another source. */
  reset() {
    this.meters = null;
    this.heard = 0; // meters since then in which anything sounded
    this.shown = ''; // which choice is in the select
    element('channels').hidden = true;
    element('mixed').textContent = '';
    this.notices.clear('channels');
  }

  /** Show the meters of a sound card of the server's, twice a second. @param {object[]} channels @param {number|null} taken */
  ofServer(channels, taken) {
    element('channels').hidden = channels.length < 2;
    element('use').hidden = true;
    this.shown = '';
    if (channels.length < 2) return;
    const all = channels.map((_, index) => index + 1);
    this._meters({ channels, used: taken === null ? all : [taken] }, true);
  }

  /** Draw what moves; called once per refresh of the screen. */
  draw(now) {
    const { meters } = this;
    if (!meters || !this.sound.source) return;
    this.meters = null;
    const clips = meters.channels.some(({ clipped }) => clipped);
    element('channels').hidden = meters.channels.length === 1 && !clips;
    if (!element('channels').hidden) this._draw(meters, now - this.saidAt >= SAID_MS);
    if (now - this.saidAt < SAID_MS) return;
    this.saidAt = now;
    const { sounding, file } = this.sound;
    element('mixed').textContent = sounding ? remark(meters, { isFile: Boolean(file), answered: this.answered }) : '';
  }

  _note(meters) {
    this.meters = meters;
    this.heard += meters.channels.some(({ peak }) => peak > FLOOR_DB);
    const use = this.sound.source?.use;
    const count = meters.channels.length;
    if (this.heard < SETTLED || !use || Math.max(...use) <= count) return;
    this.sound.use(null);
    this.notices.say('channels', `${named(use, count)} chosen, but this input has ${count}. Now all of them are heard.`);
  }

  _draw(meters, isSaid) {
    this._choices(meters.channels.length);
    this._meters(meters, isSaid);
  }

  _meters({ channels, used }, isSaid) {
    const { children } = element('channel-meters');
    if (children.length !== channels.length) this._build(channels.length);
    channels.forEach(({ level, peak, clipped }, index) => {
      const { style, classList } = children[index];
      style.setProperty('--level', place(level));
      style.setProperty('--peak', place(peak));
      classList.toggle('hot', clipped);
      classList.toggle('unused', !used.includes(index + 1));
      if (isSaid) say(children[index], level, clipped);
    });
  }

  _build(count) {
    const bars = Array.from({ length: count }, (_, index) => bar(index + 1));
    element('channel-meters').replaceChildren(...bars);
    element('channel-meters').style.setProperty('--count', count);
    this.saidAt = -Infinity;
  }

  _choices(count) {
    const { use } = this.sound.source;
    const shown = `${count} ${use}`;
    if (shown === this.shown) return;
    this.shown = shown;
    const all = choices(count);
    if (use && !all.some((each) => String(each) === String(use))) all.push(use);
    const options = all.map((each) => new Option(named(each, count), each?.join('+') ?? ''));
    element('use').hidden = count === 1;
    element('use').replaceChildren(...options);
    element('use').value = use?.join('+') ?? '';
  }

  _use(text) {
    const use = text ? text.split('+').map(Number) : null;
    this.notices.clear('channels');
    this.sound.use(use);
    this.onuse(use);
  }
}

function bar(number) {
  const [level, peak] = ['level', 'peak'].map((className) => make('div', { className }));
  const well = make('div', { className: 'well' }, level, peak);
  const meter = make('div', { className: 'channel' }, well, make('span', { textContent: number }));
  const range = { 'aria-valuemin': FLOOR_DB, 'aria-valuemax': 0, 'aria-valuenow': FLOOR_DB };
  const attributes = { role: 'meter', 'aria-label': `channel ${number}`, ...range };
  for (const [name, value] of Object.entries(attributes)) meter.setAttribute(name, value);
  return meter;
}

function say(meter, level, clipped) {
  const value = Math.round(Math.max(FLOOR_DB, Math.min(0, level)));
  meter.setAttribute('aria-valuenow', value);
  const text = value > FLOOR_DB ? `${value} dB`.replace('-', '−') : 'silent';
  meter.setAttribute('aria-valuetext', clipped ? `${text}, clips` : text);
  meter.title = `${meter.getAttribute('aria-label')}: ${meter.getAttribute('aria-valuetext')}`;
}
