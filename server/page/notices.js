/** What the performer must know, in plain lines: one per topic, said aloud by screen readers, gone when it is over. */

import { make } from './controls.js';

/** The list of lines in `place`, an aria-live region. */
export class Notices {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.lines = new Map();
  }

  /**
   * Say `text` about `topic`, replacing what was said about it. @param {string} topic @param {string} text
   * @param {Object<string, () => void>} [actions]  what the performer can do about it, by label
   */
  say(topic, text, actions = {}) {
    if (this.lines.get(topic)?.text === text) return;
    this.clear(topic);
    const buttons = Object.entries(actions).map(([label, act]) => {
      return make('button', { type: 'button', textContent: label, onclick: act });
    });
    const close = make('button', { type: 'button', className: 'close', textContent: '×', onclick: () => this.clear(topic) });
    close.setAttribute('aria-label', 'dismiss');
    const element = make('div', { className: 'notice' }, make('p', { textContent: text }), ...buttons, close);
    element.dataset.topic = topic;
    this.lines.set(topic, { text, element });
    this.place.append(element);
  }

  clear(topic) {
    this.lines.get(topic)?.element.remove();
    this.lines.delete(topic);
  }
}
