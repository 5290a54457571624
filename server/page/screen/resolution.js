/**
 * Resolution that keeps the frame rate: where drawing costs too much, the screen is drawn with fewer pixels.
 *
 * A state machine without WebGL and clock. It is told what a draw cost, from the first call until its pixels could be
 * read, now and then: asking is itself a wait. Cost is taken to grow with the pixels, so that it steps down at once as
 * far as it must, and up only where the greater size would fit with room to spare.
 */

export const STEPS = Object.freeze([1, 0.75, 0.5, 0.375, 0.25]); // of the screen's width and height
export const BUDGET_MS = 22; // for a draw: with what the browser needs beside it, more than 30 a second
const ROOM = 0.7; // of the budget, to step up
const PATIENCE = 4; // measurements in a row that must have room

/** Chooses among STEPS. */
export class Resolution {
  constructor(budget = BUDGET_MS, step = 0) {
    this.budget = budget;
    this.step = step;
    this._late = 0; // measurements in a row over the budget
    this._early = 0; // and with room for the next step up
  }

  get scale() {
    return STEPS[this.step];
  }

  /** Whether the last draw was over the budget, so that the next one should be measured, too; asked where there is a lower step. */
  get doubtful() {
    return this._late > 0 && this.step < STEPS.length - 1;
  }

  /** Take the ms that a draw at this scale has cost. Returns whether the scale has changed. */
  note(cost) {
    const before = this.step;
    this._late = cost > this.budget ? this._late + 1 : 0;
    this._early = this.step > 0 && this._at(this.step - 1, cost) < ROOM * this.budget ? this._early + 1 : 0;
    if (this._late > 1) this._lower(cost);
    else if (this._early >= PATIENCE) this.step -= 1;
    if (this.step === before) return false;
    this._late = this._early = 0;
    return true;
  }

  _lower(cost) {
    const enough = STEPS.findIndex((_, step) => step > this.step && this._at(step, cost) <= this.budget);
    this.step = enough < 0 ? STEPS.length - 1 : enough;
  }

  /** What a draw would cost at another step. */
  _at(step, cost) {
    return cost * (STEPS[step] / this.scale) ** 2;
  }
}
