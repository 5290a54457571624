/**
 * The panel of controls, made from the server's own description of its parameters, group by group.
 *
 * `react` comes first, as a big knob, with what moves what folded beneath it. The control under the performer's hand is
 * not moved by the server's echo.
 */

import { control, knob, make } from './controls.js';
import { GROUPS } from './names.js';
import { keep, recall } from './remember.js';
import { RouteEditor } from './routes.js';

const ELSEWHERE = ['freeze', 'blackout', 'panic']; // they have keys and buttons of their own
const BIG = 'react';
const ALWAYS = ['master']; // in sight whichever group is open
const WAVE = /^lfo_/;
const HAND_MS = 400;
const OPEN = 'clavilux.open.'; // remembers which groups are open

/** All controls of a stage. */
export class Controls {
  /** @param {HTMLElement} place @param {HTMLElement} always @param {(values: object) => void} send */
  constructor(place, always, send) {
    Object.assign(this, { place, always, send });
    this.controls = new Map();
  }

  /** Build the controls anew when the description has changed. @param {Object<string, object>} description */
  build(description) {
    const text = JSON.stringify(description);
    if (text === this._built) return;
    this._built = text;
    const all = Object.entries(description).filter(([name]) => !ELSEWHERE.includes(name));
    const routes = all.filter(([, { kind }]) => kind === 'route').map(([name]) => name);
    this.routes = routes.length ? new RouteEditor(routes, description, this.send) : null;
    const plain = all.filter(([, { kind }]) => kind !== 'route');
    this.controls = new Map(plain.map(([name, spec]) => [name, this._one(name, spec)]));
    const known = GROUPS.map(([group]) => group);
    const groupOf = ({ group }) => (known.includes(group) ? group : 'engine');
    const members = (group) => plain.filter(([, spec]) => groupOf(spec) === group).map(([name]) => name);
    this.always.replaceChildren(...this._elements(ALWAYS));
    this.place.replaceChildren(...GROUPS.map((group) => this._group(group, members(group[0]))).filter(Boolean));
  }

  /** Show the values that hold. */
  show(values) {
    for (const [name, one] of this.controls) {
      if (name in values && performance.now() - one.touched > HAND_MS) one.set(values[name]);
    }
    this.routes?.show(values);
  }

  _elements(names) {
    return names.filter((name) => this.controls.has(name)).map((name) => this.controls.get(name).element);
  }

  _group([group, title, about, open], names) {
    const shown = names.filter((name) => !ALWAYS.includes(name) && !WAVE.test(name));
    const parts = this._elements(shown);
    if (group === BIG && (this.routes || names.some((name) => WAVE.test(name)))) parts.push(this._patch(names));
    if (parts.length === 0) return null;
    const summary = make('summary', {}, make('h2', { textContent: title }), make('small', { textContent: about }));
    return remembered(make('details', { className: 'group', id: `group-${group}`, open }, summary, ...parts));
  }

  _patch(names) {
    const waves = this._elements(names.filter((name) => WAVE.test(name)));
    const editor = this.routes ? [this.routes.element] : [];
    const summary = make('summary', { textContent: 'what moves what' });
    return remembered(make('details', { id: 'patch', className: 'inner' }, summary, ...editor, ...waves));
  }

  _one(name, spec) {
    const build = name === BIG ? knob : control;
    const one = build(name, spec, (value) => {
      one.touched = performance.now();
      this.send({ [name]: value });
    });
    one.touched = -Infinity;
    one.set(spec.default);
    return one;
  }
}

function remembered(details) {
  const kept = recall(OPEN + details.id);
  if (kept) details.open = kept === 'yes';
  details.addEventListener('toggle', () => keep(OPEN + details.id, details.open ? 'yes' : 'no'));
  return details;
}
