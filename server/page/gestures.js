/** Gestures that play the instrument: keys, the pointer, files dropped on the page, full screen, and a screen that stays awake. */

const IDLE_MS = 3000;
const PANEL_WIDTH = 250; // CSS pixels; a margin this wide beside the picture holds the panel without covering it
const TYPING = 'input:not([type=range]):not([type=radio]):not([type=checkbox]), select, textarea';
const OWN_SPACE = `${TYPING}, button, summary, input[type=checkbox]`;

function element(id) {
  return document.getElementById(id);
}

async function fullScreen() {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await document.documentElement.requestFullscreen({ navigationUI: 'hide' });
}

function hide() {
  const hidden = document.body.classList.toggle('hidden');
  element('hide').setAttribute('aria-pressed', hidden);
}

function actionOf(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return null;
  if (event.key === ' ') return event.target.closest?.(OWN_SPACE) ? null : actions.freeze;
  if (event.target.closest?.(TYPING)) return null;
  return { z: actions.freeze, b: actions.blackout, f: actions.fullscreen, h: actions.hide }[event.key.toLowerCase()];
}

/** Keys and their buttons. A viewer has full screen only. @param {{freeze: Function, blackout: Function}} playing */
export function bindKeys(playing, viewing) {
  const none = () => {};
  const own = viewing ? { freeze: none, blackout: none, hide: none } : { ...playing, hide };
  const actions = { ...own, fullscreen: fullScreen };
  addEventListener('keydown', (event) => {
    const act = actionOf(event, actions);
    if (!act) return;
    event.preventDefault();
    act();
  });
  for (const [name, act] of Object.entries(actions)) element(name).addEventListener('click', act);
  element('picture').addEventListener('dblclick', fullScreen);
  // A button clicked by a pointer would keep the focus, and the next Space would press it instead of freezing.
  addEventListener('click', (event) => event.detail > 0 && event.target.closest('button, summary')?.blur());
}

/** Let the controls step back when nobody moves, and out of the way when they would cover the picture. */
export function followPointer(canvas) {
  const { classList } = document.body;
  let timer;
  const wake = () => {
    classList.remove('idle');
    clearTimeout(timer);
    timer = setTimeout(() => classList.add('idle'), IDLE_MS);
  };
  for (const kind of ['pointermove', 'pointerdown', 'keydown', 'focusin']) addEventListener(kind, wake);
  const measure = () => {
    classList.toggle('covering', (innerWidth - canvas.clientWidth) / 2 < PANEL_WIDTH || Boolean(document.fullscreenElement));
  };
  new ResizeObserver(measure).observe(canvas);
  addEventListener('resize', measure);
  document.addEventListener('fullscreenchange', measure);
  wake();
}

/** Files dropped anywhere on the page. @param {HTMLElement} veil @param {(file: File) => void} take */
export function bindDrop(veil, take) {
  addEventListener('dragover', (event) => {
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener('dragleave', (event) => (veil.hidden = event.relatedTarget === null));
  addEventListener('drop', (event) => {
    event.preventDefault();
    veil.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) take(file);
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
