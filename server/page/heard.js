/**
 * What is heard, by name and with its confidence; for screen readers in a live region that can be switched off.
 *
 * It is shown while pictures are: not over a blackout, not after a panic, not when the server is gone.
 */

import { keep, recall } from './remember.js';

const ALOUD = 'clavilux.aloud';
const SETTLED_MS = 1000; // a name is said aloud when it has held this long

function element(id) {
  return document.getElementById(id);
}

/** The name at the upper left. */
export class Heard {
  constructor() {
    this.heard = null;
    this.known = 0;
    this.dark = false;
    this.live = false;
    this.saidName = '';
    const box = element('aloud');
    box.checked = recall(ALOUD) !== 'no';
    box.onchange = () => this._setAloud(box.checked);
    this._setAloud(box.checked);
  }

  /**
   * Take what the stage hears, and how sure it is of that.
   * @param {{name: string, similarity: number}|null} heard @param {number} known  0 to 1
   */
  note(heard, known) {
    this.heard = heard;
    this.known = known;
    this.show();
  }

  /** Change what it is shown over. @param {{dark?: boolean, live?: boolean}} changes */
  over(changes) {
    Object.assign(this, changes);
    this.show();
  }

  show() {
    const shown = this.heard && this.live && !this.dark ? this.heard : null;
    element('heard').classList.toggle('nothing', !shown);
    element('heard').querySelector('strong').textContent = shown?.name ?? '';
    const sure = shown ? Math.max(0, Math.min(1, this.known)) : 0;
    element('confidence').value = sure;
    element('confidence-text').value = shown ? `${Math.round(100 * sure)} % sure` : '';
    element('heard').title = shown ? `${Math.round(100 * shown.similarity)} % alike` : '';
    this._sayLater(shown?.name ?? '');
  }

  _sayLater(name) {
    if (name === this.waitingName) return;
    this.waitingName = name;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (element('heard-aloud').textContent = name), SETTLED_MS);
  }

  _setAloud(aloud) {
    keep(ALOUD, aloud ? 'yes' : 'no');
    element('heard-aloud').setAttribute('aria-live', aloud ? 'polite' : 'off');
  }
}
