/**
 * The controls, made from the server's own description of its parameters: nothing here knows what a parameter means.
 *
 * A control is {element, value, set(value)}; the one under the performer's hand is not moved by the server's echo.
 */

const FIRST = ['glide', 'feedback', 'noise', 'walk', 'steps', 'seed'];
const ELSEWHERE = ['freeze', 'blackout']; // they have keys and buttons of their own
const MANY = 10000; // whole numbers from which one may as well be rolled
const FEW = 8; // whole numbers that fit side by side as buttons
const SLIDER_STEPS = 400;
const CURVED_BELOW = 0.2; // a default this low in its range gets a slider with more room at the low end
const DEFAULT_PLACE = 0.4;
const HAND_MS = 400;

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
    place: (value) => ((value - low) / (high - low)) ** (1 / power),
  };
}

/** A number with as many digits as its size deserves. */
export function tidy(value) {
  const digits = Math.abs(value) < 1 ? 2 : Math.abs(value) < 10 ? 1 : 0;
  return Number(value.toFixed(digits));
}

function slider(name, spec, send) {
  const { value: toValue, place } = curve(spec);
  const input = make('input', { type: 'range', min: 0, max: SLIDER_STEPS, step: 1, id: `p-${name}`, title: spec.about });
  const output = make('output', { htmlFor: input.id });
  const say = (value) => {
    output.value = `${tidy(value)}${spec.unit ? ` ${spec.unit}` : ''}`;
    input.setAttribute('aria-valuetext', output.value);
    input.style.setProperty('--filled', `${(100 * input.value) / SLIDER_STEPS}%`);
  };
  const set = (value) => {
    input.value = Math.round(place(value) * SLIDER_STEPS);
    say(value);
  };
  input.addEventListener('input', () => {
    const zero = spec.or_zero && Number(input.value) === 0;
    const value = zero ? 0 : tidy(toValue(input.value / SLIDER_STEPS));
    say(value);
    send(value);
  });
  input.addEventListener('dblclick', () => {
    set(spec.default);
    send(spec.default);
  });
  const label = make('label', { htmlFor: input.id, textContent: name.replace('_', ' ') });
  return { element: make('div', { className: 'control' }, label, output, input), set };
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
  const legend = make('legend', { textContent: name.replace('_', ' ') });
  const row = make('div', { className: 'segments' }, ...options.map(({ label }) => label));
  return { element: make('fieldset', { className: 'control', title: spec.about }, legend, row), set };
}

function number(name, spec, send) {
  const input = make('input', { type: 'number', min: spec.low, max: spec.high, step: spec.multiple ?? 1, id: `p-${name}`, title: spec.about });
  const dice = make('button', { type: 'button', textContent: 'roll', title: `another ${name}` });
  input.addEventListener('change', () => input.checkValidity() && send(Number(input.value)));
  dice.addEventListener('click', () => {
    input.value = Math.floor(spec.low + Math.random() * Math.min(spec.high - spec.low, MANY));
    send(Number(input.value));
  });
  const label = make('label', { htmlFor: input.id, textContent: name.replace('_', ' ') });
  const row = make('div', { className: 'pair' }, input, ...(spec.high - spec.low > MANY ? [dice] : []));
  return { element: make('div', { className: 'control' }, label, row), set: (value) => (input.value = value) };
}

function toggle(name, spec, send) {
  const input = make('input', { type: 'checkbox', id: `p-${name}`, title: spec.about });
  input.addEventListener('change', () => send(input.checked));
  const label = make('label', { htmlFor: input.id, textContent: name.replace('_', ' ') });
  return { element: make('div', { className: 'control line' }, label, input), set: (value) => (input.checked = value) };
}

function range(low, high) {
  return Array.from({ length: high - low + 1 }, (_, index) => low + index);
}

function kind(spec) {
  if (spec.kind === 'bool') return toggle;
  if (spec.kind === 'choice') return choice;
  if (spec.kind === 'int') return spec.high - spec.low < FEW ? choice : number;
  return slider;
}

/** All controls of a stage, in two groups: those a hand needs first, and the rest. */
export class Controls {
  /** @param {HTMLElement} first @param {HTMLElement} rest @param {(values: object) => void} send */
  constructor(first, rest, send) {
    this.first = first;
    this.rest = rest;
    this.send = send;
    this.controls = new Map();
  }

  /** Build the controls anew when the description has changed. @param {Object<string, object>} description */
  build(description) {
    const text = JSON.stringify(description);
    if (text === this._built) return;
    this._built = text;
    const names = Object.keys(description).filter((name) => !ELSEWHERE.includes(name));
    this.controls = new Map(names.map((name) => [name, this._one(name, description[name])]));
    const elements = (some) => some.map((name) => this.controls.get(name).element);
    this.first.replaceChildren(...elements(FIRST.filter((name) => names.includes(name))));
    this.rest.replaceChildren(...elements(names.filter((name) => !FIRST.includes(name))));
  }

  /** Show the values that hold. */
  show(values) {
    for (const [name, control] of this.controls) {
      if (name in values && performance.now() - control.touched > HAND_MS) control.set(values[name]);
    }
  }

  _one(name, spec) {
    const control = kind(spec)(name, spec, (value) => {
      control.touched = performance.now();
      this.send({ [name]: value });
    });
    control.touched = -Infinity;
    control.set(spec.default);
    return control;
  }
}
