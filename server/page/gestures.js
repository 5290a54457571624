/**
 * Gestures that play the instrument: keys, the pointer, files dropped on the page, full screen, and a screen that stays awake.
 *
 * Keys work wherever the focus is, except in a text: a number takes no letters, and a closed select does not search by
 * letters. What was chosen or typed gives the focus back to the stage, and Escape does so always.
 */

const IDLE_MS = 3000;
const TEXT = 'input[type=password], input[type=text], input:not([type]), textarea';
const OWN_SPACE = `${TEXT}, button, a[href], summary, input[type=checkbox]`; // what Space presses, once Tab has led there
const PRESSED = 'button, summary, input[type=checkbox], input[type=radio]'; // what a pointer presses and is done with
const KEYS = { z: 'freeze', b: 'blackout', p: 'panic', f: 'fullscreen', h: 'hide', t: 'tap' };

function element(id) {
  return document.getElementById(id);
}

/** Give the focus back to the stage, where every key plays. */
export function toStage() {
  element('stage').focus({ preventScroll: true });
}

/** Whether this browser can fill the screen with a page; a telephone may not. */
export function canFillScreen() {
  return Boolean(document.fullscreenEnabled && document.documentElement.requestFullscreen);
}

/** Fill the screen, or leave it. @param {(text: string) => void} say  is called when the browser will not */
async function fullScreen(say) {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await document.documentElement.requestFullscreen({ navigationUI: 'hide' });
  } catch {
    say('This browser does not fill the screen for this page. Its own key for that, often F11, may.');
  }
}

function hide(hidden = !document.body.classList.contains('hidden')) {
  document.body.classList.toggle('hidden', hidden);
  element('hide').setAttribute('aria-pressed', hidden);
}

function actionOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return null;
  if (event.key === 'Escape') return 'escape';
  if (event.target.closest?.(TEXT)) return null;
  if (event.key === ' ') return event.target.closest?.(OWN_SPACE) ? null : 'freeze';
  const letter = /^[\x20-\x7e]$/.test(event.key) ? event.key : event.code?.replace(/^Key/, '') ?? ''; // и is on the key of B
  return KEYS[letter.toLowerCase()] ?? null;
}

/** Escape: out of the field (a number as it was), to the stage, and the controls are there again. */
function escape({ target }) {
  if (target.matches?.('input[type=number]')) target.dispatchEvent(new CustomEvent('restore'));
  element('drop').hidden = true;
  hide(false);
  toStage();
}

/** Enter ends a choice, and what is typed into a number: `change` comes of itself, before or with the loss of focus. */
function enter({ key, target }) {
  if (key === 'Enter' && target.matches?.('input[type=number], select')) toStage();
}

/** What was chosen with a pointer is done with. From the keyboard one may go on choosing: the keys play all the same. */
function giveBackFocus() {
  let byPointer = false;
  addEventListener('pointerdown', () => (byPointer = true), true);
  addEventListener('keydown', () => (byPointer = false), true);
  addEventListener('change', ({ target }) => byPointer && target.matches('select, input[type=number]') && toStage());
  addEventListener('click', ({ detail, target }) => detail > 0 && target.closest(PRESSED) && toStage());
}

/**
 * Keys and their buttons.
 * @param {{freeze: Function, blackout: Function, panic: Function, tap: Function}} playing
 * @param {{viewing: boolean, say: (text: string) => void}} options  a projector's window has no controls to hide
 */
export function bindKeys(playing, { viewing, say }) {
  const actions = { ...playing, fullscreen: () => canFillScreen() && fullScreen(say), hide: () => !viewing && hide() };
  addEventListener('keydown', (event) => {
    const name = actionOf(event);
    if (name === 'escape') return escape(event);
    if (!name) return enter(event);
    event.preventDefault(); // a select would search for the letter, or open
    return actions[name]();
  });
  for (const [name, act] of Object.entries(actions)) element(name)?.addEventListener('click', () => act());
  element('show').addEventListener('click', () => hide(false));
  element('fullscreen').hidden = !canFillScreen();
  element('picture').addEventListener('dblclick', actions.fullscreen);
  giveBackFocus();
}

/**
 * Let the controls step back when nobody moves, and tell the style sheet how the picture and the controls lie: `beside`
 * it where the picture leaves room on both sides, and `covering` it while it fills the screen.
 * @param {() => number} pictureWidth  of the picture where it is alone, CSS pixels
 * @param {number} columnWidth  of one column of controls, CSS pixels
 */
export function followPointer(pictureWidth, columnWidth) {
  const { classList } = document.body;
  let timer;
  const wake = () => {
    classList.remove('idle');
    clearTimeout(timer);
    timer = setTimeout(() => classList.add('idle'), IDLE_MS);
  };
  for (const kind of ['pointermove', 'pointerdown', 'keydown', 'focusin']) addEventListener(kind, wake);
  const measure = () => {
    classList.toggle('beside', (innerWidth - pictureWidth()) / 2 >= columnWidth);
    classList.toggle('covering', Boolean(document.fullscreenElement));
  };
  addEventListener('resize', measure);
  document.addEventListener('fullscreenchange', measure);
  measure();
  wake();
  return measure;
}

/** Files dropped anywhere on the page. @param {HTMLElement} veil @param {(dropped: DataTransfer) => void} take */
export function bindDrop(veil, take) {
  addEventListener('dragover', (event) => {
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener('dragleave', (event) => (veil.hidden = event.relatedTarget === null));
  addEventListener('drop', (event) => {
    event.preventDefault();
    veil.hidden = true;
    take(event.dataTransfer);
  });
}

/** Keep the screen on, again after every return to this page. A browser that cannot do it lets it sleep. */
export function keepAwake() {
  const ask = () => {
    if (document.visibilityState === 'visible') navigator.wakeLock?.request('screen').catch(() => {});
  };
  document.addEventListener('visibilitychange', ask);
  ask();
}
