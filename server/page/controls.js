/**
 * Controls, one for each kind of parameter: nothing here knows what a parameter means.
 *
 * A control is {element, set(value)}; it calls `send(value)` when a hand has changed it. Each has its help line in sight, and
 * the parameter's own name, as `--set` takes it, in its tooltip.
 */

import { ZERO, friendly } from './names.js';

const MANY = 10000; // whole numbers from which one may as well be rolled
const FEW = 8; // whole numbers that fit side by side as buttons
const SLIDER_STEPS = 400;
const CURVED_BELOW = 0.2; // a default this low in its range gets a slider with more room at the low end
const DEFAULT_PLACE = 0.4;
const TURN = 300; // degrees from one end of a knob to the other
const TURN_PIXELS = 240; // a hand's way for a whole turn

/** A small element. @param {string} tag @param {object} properties @param {...(Node|string)} children */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** How a slider's place, 0..1, maps to a value: a power curve whose default lies comfortably. */
export function curve({ low, high, default: normal }) {
  const place = (normal - low) / (high - low);
  const power = place > 0 && place < CURVED_BELOW ? Math.log(place) / Math.log(DEFAULT_PLACE) : 1;
  return {
    value: (t) => low + (high - low) * t ** power,
    place: (value) => Math.max(0, (value - low) / (high - low)) ** (1 / power),
  };
}

/** A number with as many digits as its size deserves. */
export function tidy(value) {
  const digits = Math.abs(value) < 0.1 ? 3 : Math.abs(value) < 1 ? 2 : Math.abs(value) < 10 ? 1 : 0;
  return Number(value.toFixed(digits));
}

/** A value as it is read: with its unit, a real minus, and a word where 0 is no quantity. */
export function words(value, { unit = '', zero = '' } = {}) {
  if (value === 0 && zero) return zero;
  const number = String(tidy(value)).replace('-', '−');
  return `${number}${unit ? `${unit.startsWith('°') ? '' : ' '}${unit}` : ''}`;
}

/**
 * The range input beneath every slider and knob. `spec` has low, high, default, unit, `zero`, the word for 0, and `first`,
 * what it goes back to where that is not its default.
 */
export function rangeInput(spec, send, { id, show = () => {} }) {
  const { value: toValue, place } = curve(spec);
  const input = make('input', { type: 'range', min: 0, max: SLIDER_STEPS, step: 1, id });
  const say = (value) => {
    const share = input.value / SLIDER_STEPS;
    const text = words(value, spec);
    input.setAttribute('aria-valuetext', text);
    input.style.setProperty('--filled', `${100 * share}%`);
    show(text, share);
  };
  const set = (value) => {
    input.value = Math.round(place(value) * SLIDER_STEPS);
    say(value);
  };
  const reset = () => {
    const { first = spec.default } = spec;
    set(first);
    send(first);
  };
  input.addEventListener('input', () => {
    const zero = spec.or_zero && Number(input.value) === 0;
    const value = zero ? 0 : tidy(toValue(input.value / SLIDER_STEPS));
    say(value);
    send(value);
  });
  input.addEventListener('dblclick', reset);
  input.addEventListener('keydown', ({ key }) => (key === 'Delete' || key === 'Backspace') && reset());
  return { input, set, reset };
}

/** What every control has beside itself: a label, a help line that its field points to, and a tooltip. */
function labelled(name, spec, field) {
  const help = make('p', { className: 'fine', id: `help-${name}`, textContent: spec.about });
  field.setAttribute('aria-describedby', help.id);
  field.title = `${name}${'default' in spec ? `, at first ${spec.default === '' ? 'empty' : spec.default}` : ''}`;
  return { label: make('label', { htmlFor: field.id, textContent: friendly(name) }), help };
}

function slider(name, spec, send) {
  const output = make('output', { htmlFor: `p-${name}` });
  const show = (text) => (output.value = text);
  const { input, set } = rangeInput({ ...spec, zero: ZERO[name] }, send, { id: `p-${name}`, show });
  const { label, help } = labelled(name, spec, input);
  return { element: make('div', { className: 'control' }, label, output, input, help), set };
}

/** A slider as a big knob: turned by dragging up or to the right, and by the arrow keys. */
export function knob(name, spec, send) {
  const output = make('output', { htmlFor: `p-${name}` });
  const dial = make('div', { className: 'dial' });
  const show = (text, share) => {
    output.value = text;
    dial.style.setProperty('--turn', `${TURN * share}deg`);
  };
  const { input, set, reset } = rangeInput(spec, send, { id: `p-${name}`, show });
  const { label, help } = labelled(name, spec, input);
  const turn = (places) => {
    input.value = Number(input.value) + places;
    input.dispatchEvent(new Event('input'));
  };
  let last = 0;
  const place = ({ clientX, clientY }) => clientX - clientY;
  dial.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    dial.setPointerCapture(event.pointerId);
    last = place(event);
  });
  dial.addEventListener('pointermove', (event) => {
    const way = place(event) - last;
    const places = Math.trunc((SLIDER_STEPS * way) / TURN_PIXELS);
    if (!dial.hasPointerCapture(event.pointerId) || places === 0) return;
    last += (places * TURN_PIXELS) / SLIDER_STEPS; // what is left of the way counts on
    turn(places);
  });
  dial.addEventListener('dblclick', reset);
  dial.append(input, output);
  return { element: make('div', { className: 'control knob' }, dial, make('div', {}, label, help)), set };
}

function choice(name, spec, send) {
  const options = (spec.choices ?? range(spec.low, spec.high)).map((value) => {
    const input = make('input', { type: 'radio', name: `p-${name}`, value: String(value) });
    input.addEventListener('change', () => send(value));
    return { value, input, label: make('label', {}, input, make('span', { textContent: String(value) })) };
  });
  const set = (value) => {
    for (const option of options) option.input.checked = option.value === value;
  };
  const legend = make('legend', { textContent: friendly(name) });
  const row = make('div', { className: 'segments' }, ...options.map(({ label }) => label));
  const element = make('fieldset', { className: 'control' }, legend, row);
  element.append(labelled(name, spec, element).help);
  return { element, set };
}

/** Why a number is not taken, in words; empty when it is. @param {HTMLInputElement} input */
function whyNot(input, { low, high, multiple = 1 }) {
  const { badInput, valueMissing, rangeUnderflow, rangeOverflow, stepMismatch } = input.validity;
  const span = `${low.toLocaleString('en')} to ${high.toLocaleString('en')}`;
  if (badInput || valueMissing) return `That is no whole number; it goes from ${span}.`;
  const found = input.value.replace('-', '−');
  if (rangeUnderflow || rangeOverflow) return `${found} is too ${rangeUnderflow ? 'low' : 'high'}; it goes from ${span}.`;
  return stepMismatch ? `It takes ${multiple > 1 ? `multiples of ${multiple}` : 'whole numbers'}; it goes from ${span}.` : '';
}

function number(name, spec, send) {
  const bounds = { min: spec.low, max: spec.high, step: spec.multiple ?? 1 };
  const input = make('input', { type: 'number', ...bounds, required: true, id: `p-${name}` });
  const problem = make('p', { className: 'problem', id: `problem-${name}` });
  problem.setAttribute('role', 'alert');
  const { label, help } = labelled(name, spec, input);
  input.setAttribute('aria-describedby', `${help.id} ${problem.id}`);
  let held = spec.default;
  const judge = () => {
    problem.textContent = whyNot(input, spec);
    input.setAttribute('aria-invalid', Boolean(problem.textContent));
    return !problem.textContent;
  };
  const set = (value) => {
    held = value;
    const typing = document.activeElement === input && Number(input.value) !== value;
    if (!typing && !problem.textContent) input.value = value; // what is typed stays in sight until Enter, or Escape
  };
  const take = (value) => {
    held = input.value = value; // also what Escape brings back
    send(value);
  };
  input.addEventListener('change', () => judge() && take(Number(input.value)));
  input.addEventListener('input', () => problem.textContent && judge());
  input.addEventListener('restore', () => {
    input.value = held;
    judge();
  });
  const dice = make('button', { type: 'button', textContent: 'roll', title: `another ${friendly(name)}` });
  dice.addEventListener('click', () => {
    take(Math.floor(spec.low + Math.random() * Math.min(spec.high - spec.low, MANY)));
    judge();
  });
  const row = make('div', { className: 'pair' }, input, ...(spec.high - spec.low > MANY ? [dice] : []));
  return { element: make('div', { className: 'control' }, label, row, problem, help), set };
}

function toggle(name, spec, send) {
  const input = make('input', { type: 'checkbox', id: `p-${name}` });
  input.addEventListener('change', () => send(input.checked));
  const { label, help } = labelled(name, spec, input);
  return { element: make('div', { className: 'control line' }, label, input, help), set: (value) => (input.checked = value) };
}

function range(low, high) {
  return Array.from({ length: high - low + 1 }, (_, index) => low + index);
}

/** The control for a parameter, from its description. */
export function control(name, spec, send) {
  if (spec.kind === 'bool') return toggle(name, spec, send);
  if (spec.kind === 'choice') return choice(name, spec, send);
  if (spec.kind === 'int') return (spec.high - spec.low < FEW ? choice : number)(name, spec, send);
  return slider(name, spec, send);
}
