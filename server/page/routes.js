/**
 * The editor of routes: what of the sound moves what, one row each, and one empty row to begin another.
 *
 * A route is a line of text (clavilux.runtime.control.routes): `onset > exposure 0.8, attack 0, release 0.2, curve 1`.
 * `format` is pure and runs in node as well: tests/server/page/routes.test.mjs.
 */

import { make, rangeInput } from './controls.js';
import { parseRoute, REST } from './modulation.js';
import { friendly, friendlySource } from './names.js';

const DIGITS = 6; // that count
const HAND_MS = 400;
const USUAL_TARGET = 'exposure'; // where a new route leads first: it is seen at once
const SECONDS = { low: 0, high: 30, unit: 's', default: 0.1 };

/** The line of a route; '' for none. */
export function format(route) {
  if (!route?.source || !route.target) return '';
  const number = (value) => String(Number(value.toPrecision(DIGITS)));
  const { source, target, amount, attack, release, curve } = route;
  const rest = `attack ${number(attack)}, release ${number(release)}, curve ${number(curve)}`;
  return `${source} > ${target} ${number(amount)}, ${rest}`;
}

/** The parameters that a route may move, of a description. */
export function targets(description) {
  return Object.keys(description).filter((name) => description[name].kind === 'float' && !description[name].fixed);
}

/** How far an amount reaches either way: half across the parameter's range. */
function reach({ low, high }) {
  return (high - low) / 2;
}

function select(label, options, change) {
  const element = make('select', {}, ...options.map(([value, text]) => new Option(text, value)));
  element.setAttribute('aria-label', label);
  element.addEventListener('change', change);
  return element;
}

/** All rows. `element` holds them. */
export class RouteEditor {
  /** @param {string[]} names  of the parameters that are routes @param {object} description @param {Function} send */
  constructor(names, description, send) {
    Object.assign(this, { names, description, send });
    this.targets = targets(description);
    this.rows = names.map((name) => this._row(name));
    const help = 'Each row: what moves what. Amount: how far; left of the middle it moves it down.';
    this.element = make('div', { className: 'routes' }, make('p', { className: 'fine', textContent: help }));
    this.element.append(...this.rows.map(({ element }) => element));
  }

  /** Show the routes that hold. */
  show(values) {
    for (const row of this.rows) {
      if (row.name in values && performance.now() - row.touched > HAND_MS) this._fill(row, values[row.name]);
    }
    this._reveal();
  }

  _reveal() {
    const empty = this.rows.find(({ line }) => !line);
    for (const row of this.rows) row.element.hidden = !row.line && row !== empty;
  }

  _row(name) {
    const place = `Route ${name.replace(/\D+/, '')}`;
    const row = { name, line: '', route: null, touched: -Infinity };
    const sources = this.description[name].sources.map((source) => [source, friendlySource(source)]);
    row.source = select(`${place}, source`, [['', 'nothing'], ...sources], () => this._choose(row));
    row.target = select(`${place}, moves`, this.targets.map((each) => [each, friendly(each)]), () => this._choose(row));
    row.sliders = make('div', { className: 'amounts' });
    const arrow = make('span', { textContent: '→' });
    arrow.setAttribute('aria-hidden', 'true');
    const choices = make('div', { className: 'pair' }, row.source, arrow, row.target);
    row.element = make('div', { className: 'route', title: name }, choices, row.sliders);
    row.element.setAttribute('role', 'group');
    row.element.setAttribute('aria-label', place);
    row.place = place;
    this._fill(row, '');
    return row;
  }

  _fill(row, line) {
    if (line === row.line && row.filled) return;
    Object.assign(row, { line, route: parseRoute(line), filled: true });
    row.source.value = row.route?.source ?? '';
    const usual = this.targets.includes(USUAL_TARGET) ? USUAL_TARGET : this.targets[0];
    const target = row.route?.target ?? usual;
    if (![...row.target.options].some(({ value }) => value === target)) row.target.append(new Option(`${friendly(target)} (not in this bundle)`, target));
    row.target.value = target;
    this._sliders(row);
  }

  _choose(row) {
    const target = row.target.value;
    const kept = row.route?.target === target ? row.route : null;
    const amount = kept?.amount ?? reach(this.description[target]) / 4;
    row.route = row.source.value ? { ...REST, ...row.route, amount, source: row.source.value, target } : null;
    this._tell(row);
    this._sliders(row);
    this._reveal();
  }

  _tell(row) {
    row.touched = performance.now();
    row.line = format(row.route);
    this.send({ [row.name]: row.line });
  }

  _sliders(row) {
    const spec = row.route && this.description[row.route.target];
    row.target.parentElement.classList.toggle('empty', !row.route);
    if (!spec) return row.sliders.replaceChildren();
    const far = Math.max(reach(spec), Math.abs(row.route.amount));
    const first = this._first(row);
    const amount = this._slider(row, 'amount', { low: -far, high: far, unit: spec.unit, default: 0, first: first.amount });
    const timing = make('details', { className: 'inner', open: row.opened ?? false }, make('summary', { textContent: 'timing' }));
    timing.append(
      this._slider(row, 'attack', { ...SECONDS, first: first.attack }),
      this._slider(row, 'release', { ...SECONDS, first: first.release }),
      this._slider(row, 'curve', { low: 0.1, high: 10, default: 1, first: first.curve }),
    );
    timing.addEventListener('toggle', () => (row.opened = timing.open));
    return row.sliders.replaceChildren(amount, timing);
  }

  /** What a row's sliders go back to: those of the first patch, or of a new route. */
  _first({ name, route }) {
    const first = parseRoute(this.description[name].default ?? '');
    const same = first?.source === route.source && first.target === route.target;
    return same ? first : { ...REST, amount: reach(this.description[route.target]) / 4 };
  }

  _slider(row, part, spec) {
    const id = `${row.name}-${part}`;
    const output = make('output', { htmlFor: id });
    const send = (value) => {
      row.route[part] = value;
      this._tell(row);
    };
    const { input, set } = rangeInput(spec, send, { id, show: (text) => (output.value = text) });
    set(row.route[part]);
    input.setAttribute('aria-label', `${row.place}, ${part}`);
    const label = make('label', { htmlFor: id, textContent: part });
    return make('div', { className: 'control' }, label, output, input);
  }
}
