/**
 * The delay of what shows this page: a projector, or headphones without a cable. Nobody can measure it from here, so a hand
 * sets it, once per browser: the projector's window of the same browser has it too.
 */

import { keep, recall } from './remember.js';

const REMEMBERED = 'clavilux.offset';

/** The number in `field`, ms; what keeps to the beat is to be sent that much earlier. Handler: `onchange(milliseconds)`. */
export class Offset {
  /** @param {HTMLInputElement} field */
  constructor(field) {
    this.field = field;
    this.onchange = () => {};
    field.value = this.milliseconds;
    field.addEventListener('change', () => this._take());
    field.addEventListener('restore', () => (field.value = this.milliseconds));
    addEventListener('storage', ({ key }) => key === REMEMBERED && this._show());
  }

  get milliseconds() {
    return Number(recall(REMEMBERED)) || 0;
  }

  _take() {
    if (!this.field.checkValidity() || this.field.value === '') return this._show();
    keep(REMEMBERED, this.field.value);
    return this.onchange(this.milliseconds);
  }

  _show() {
    this.field.value = this.milliseconds;
    this.onchange(this.milliseconds);
  }
}
