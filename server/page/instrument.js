/**
 * The page: brings the stage, the sound, the picture and the controls together.
 *
 * Addresses: `/` plays, `/?sound=off` controls a stage that hears a sound card, `/?view` only shows (a projector),
 * `/?view=cover` fills the screen and crops; with `pictures` in any of them there are pictures only, without effects. `#token=…` hands over a token without showing it to any log.
 */

import { loudness } from './audio_time.js';
import { Channels } from './channels.js';
import { Stage, defaultUrl } from './clavilux.js';
import { make } from './controls.js';
import { bindKeys, bindDrop, followPointer, keepAwake, toStage } from './gestures.js';
import { Controls } from './groups.js';
import { Heard } from './heard.js';
import { HighPass } from './high_pass.js';
import { Inputs } from './inputs.js';
import { Notices } from './notices.js';
import { Offset } from './offset.js';
import { Player } from './player.js';
import { Meter, Readouts } from './readouts.js';
import { Roles } from './roles.js';
import { keep, recall } from './remember.js';
import { Show } from './show.js';
import { Sound } from './sound.js';
import { pick } from './sound_files.js';
import { SourceLine } from './source_line.js';
import { STATES, canShare, obstacle } from './streams.js';
import { askToken, forgetToken } from './token.js';
import { ANSWER_MS, Answers } from './watch.js';

const READOUT_MS = 500;
const HEALTH_MS = 3000; // for the server to say that it is there
const HAND_MS = 500; // after a change made here an echo may still tell what was before: no flash of light in a blackout
const PACKET_MS = 10; // as capture.js makes them
const QUALITY = 90; // of the JPEGs: they are shown several times as large as they are
const COLUMN = 256; // CSS pixels, of one column of controls
const PLAYED = 'clavilux.played'; // this tab listened to a microphone: after a reload it does again

const element = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const viewing = query.has('view');

const stage = new Stage(defaultUrl(), {
  role: 'viewer', picture: { encoding: 'jpeg', quality: QUALITY }, pulse: true, token: askToken,
});
const sound = new Sound();
const notices = new Notices(element('notices'));
const show = new Show(element('picture'), element('glow'), {
  cover: query.get('view') === 'cover', plain: query.has('pictures'),
  say: (text) => (text ? notices.say('screen', text) : notices.clear('screen')),
});
stage.options.limitsFlashes = !show.screen.plain;
const player = new Player(sound);
const meter = new Meter();
const readouts = new Readouts();
const heard = new Heard();
const inputs = new Inputs(element('input'), sound, notices);
const channels = new Channels(sound, notices);
const offset = new Offset(element('offset')); // .milliseconds: how much earlier what keeps to the beat is to be shown
const controls = new Controls(element('groups'), element('always'), (values) => change(values));
const roles = new Roles(stage, sound, notices);
const answers = new Answers();

const hand = new Map(); // what was changed here, by name: {value, at}
let aspect = 1; // of the stage's pictures, width over height
let before = {}; // react and feedback, as they were when there was no panic
let panicking = false;
let lost = []; // [name, value] of what the last one has set to 0
let measure = () => {};
const sourceLine = new SourceLine();
const ENGINE = {
  starting: 'The first picture is being made.',
  restarting: 'The engine has stopped and begins again. The last picture stays meanwhile.',
};
let highPass = null; // of the level meter

roles.withoutSound = query.get('sound') === 'off';

// ---- what comes from the stage

stage.onhello = (hello) => {
  controls.build(hello.parameters);
  show.ranges = hello.parameters;
  aspect = hello.picture.width / hello.picture.height;
  measure();
  if (!hello.sound) roles.withoutSound = true;
};
stage.onparameters = (values) => {
  controls.show(values);
  apply();
};
stage.onframe = async (frame) => {
  const shownAt = await show.show(frame);
  if (shownAt) readouts.note(shownAt, frame, milliseconds(frame, shownAt));
  if (viewing) notices.clear('server');
  return shownAt;
};
stage.onpulse = ({ pulses, capturedAt, known }) => {
  show.feel(pulses, stage.clock.toLocal(capturedAt));
  show.know(known);
};
stage.onstatus = (status) => {
  heard.note(status.heard, status.known ?? 0);
  show.know(status.known ?? 0);
  if (status.gate !== undefined) meter.gate(status.gate);
  const own = sound.active && stage.options.sound ? { sounding: sound.sounding, isFile: Boolean(sound.file) } : null;
  element('source-line').textContent = sourceLine.tell(status, own, performance.now());
  roles.hear(status);
  readouts.connection('live', status.viewers);
  if (ENGINE[status.engine]) notices.say('engine', ENGINE[status.engine]);
  else notices.clear('engine');
  readouts.losses(status.dropped_seconds + (stage.dropped * PACKET_MS) / 1000);
  if (sound.active) return;
  meter.note({ rms: status.level, peak: status.level });
  channels.ofServer(status.channels ?? [], status.taken ?? null);
};
stage.onerror = (error) => notices.say('error', error.message);
stage.onstate = (state, detail) => {
  readouts.connection(state);
  answered(state === 'live');
  if (state === 'live') {
    show.screen.reset();
    readouts.reset();
    for (const topic of ['server', 'error', 'token', 'refusal']) notices.clear(topic);
  }
  if (state === 'waiting' && !isShowing()) sayGone();
  if (state === 'closed' && detail) refused(detail);
};

/** Where the time of a frame went: ms by stage, and from heard to shown. */
function milliseconds(frame, shownAt) {
  const stages = Object.fromEntries(Object.entries(frame.stages).map(([name, time]) => [name, time / 1000]));
  const shown = shownAt - stage.clock.toLocal(frame.sentAt);
  return { latency: stage.latency(frame, shownAt), stages: { ...stages, 'send, show': shown } };
}

/** Show what the stage tells, or, while it tells nothing, nothing that may have ceased to be true. */
function answered(yes) {
  heard.over({ live: yes });
  channels.answered = yes;
  if (yes) return;
  element('source-line').textContent = '';
  if (!sound.active) channels.reset();
}

/** Whether a picture without a word is better than one with: a projector's, once there is one. */
const isShowing = () => viewing && show.screen.seen;

/** Look whether the stage still answers: a server that hangs closes nothing. */
function lookForAnswer() {
  const expected = stage.state === 'live' && document.visibilityState === 'visible';
  if (!answers.look(stage.heardAt, expected) || stage.state !== 'live') return;
  answered(!answers.missing);
  readouts.connection(answers.missing ? 'silent' : 'live');
  if (!answers.missing) notices.clear('server');
  else if (!isShowing()) notices.say('server', `No answer from the server for 3 s${goingOn()}.`);
}

/** What of the sound goes on without the server, as the end of a sentence. */
function goingOn() {
  const { file, live, playing } = sound;
  if (file) return playing ? '; the file plays on' : '';
  if (!live || live.lost) return '';
  return live.kind === 'microphone' ? '; the microphone stays open' : '; the sharing goes on';
}

async function sayGone() {
  if (stage.reason) return notices.say('server', `The server says: ${stage.reason}. Trying again${goingOn()}.`);
  const text = await reach();
  return stage.state === 'live' ? undefined : notices.say('server', `${text}. Trying again${goingOn()}.`);
}

/** Why there are no live pictures, by what the server says to a plain question. */
async function reach() {
  try {
    const { ok } = await fetch('/healthz', { signal: AbortSignal.timeout(HEALTH_MS) });
    if (!ok) return 'The server is gone';
    return `The server answers, but not for live pictures: a proxy without websockets, or a name (${location.hostname}) it does not know`;
  } catch ({ name }) {
    return name === 'TimeoutError' ? 'The server does not answer' : 'The server is gone';
  }
}

function refused({ code, message }) {
  const again = () => stage.open().catch(() => {}); // a second refusal comes here again
  if (code === 'stage_taken' || code === 'not_performer') return; // `roles` says it
  if (code !== 'unauthorized') {
    notices.say('refusal', `The server refuses: ${message}.`, { 'Try again': again });
    return;
  }
  forgetToken();
  notices.say('token', 'The server does not accept this token.');
  stage.options.token = askToken;
  again();
}

// ---- what goes to the stage

/** The values that hold here: the stage's, and over them what a hand has just changed. */
function current() {
  const now = performance.now();
  const held = [...hand].filter(([, { at }]) => now - at < HAND_MS).map(([name, { value }]) => [name, value]);
  return { ...stage.values, ...Object.fromEntries(held), ...roles.own };
}

function change(values) {
  for (const [name, value] of Object.entries(values)) hand.set(name, { value, at: performance.now() });
  if (viewing) roles.project(values);
  else if (roles.performing) stage.set(values);
  else return;
  apply();
  setTimeout(apply, HAND_MS);
}

/** Let the parameters act that act on this page at once, however the engine is. */
function apply() {
  show.values = current();
  const { freeze, blackout, panic, flash_limit: limited } = show.values;
  show.screen.frozen = readouts.frozen = Boolean(freeze);
  heard.over({ dark: Boolean(blackout || panic) });
  sayPanic(Boolean(panic));
  const pressed = Object.entries({ freeze, blackout, panic });
  for (const [name, on] of pressed) element(name).setAttribute('aria-pressed', Boolean(on));
  element('limiter-off').hidden = limited !== false;
}

/** When a panic is over, say what it has set to 0 and offer it back, as long as it is 0. */
function sayPanic(on) {
  const { react, feedback } = show.values;
  const over = panicking && !on;
  panicking = on;
  if (over) lost = Object.entries(before).filter(([name, value]) => value && !show.values[name]);
  if (on || lost.every(([name]) => show.values[name])) notices.clear('panic');
  else if (over && roles.performing && !viewing) {
    const text = `Panic has set ${lost.map(([name]) => name).join(' and ')} to 0.`;
    notices.say('panic', text, { 'Bring back': () => change(Object.fromEntries(lost)) });
  }
  if (!on) before = { react, feedback };
}

// ---- the sound

sound.onpacket = (samples, capturedAt, { late }) => {
  const levels = { rms: loudness(highPassed(samples)).rms, peak: loudness(samples).peak };
  if (sound.active && !late) meter.note(levels);
  if (stage.options.sound) stage.send(samples, capturedAt);
};
sound.onpulse = (readings, at) => {
  if (sound.active && stage.options.sound) show.feel(readings, at, { own: true });
};

/** Samples as the level meter takes them. */
function highPassed(samples) {
  if (highPass?.rate !== sound.rate) highPass = new HighPass(sound.rate);
  return highPass.push(samples);
}

show.offset = offset.milliseconds;
offset.onchange = (milliseconds) => (show.offset = milliseconds);
show.onreading = (reading) => readouts.pulse(reading);
readouts.ontap = () => {
  const at = performance.now();
  sound.tap(at);
  if (roles.performing) stage.tap(at);
};
sound.onstate = (state) => {
  if (state === 'running') return notices.clear('paused');
  channels.reset();
  const actions = state === 'closed' ? { 'Open it again': openAgain } : { 'Go on': () => sound.resume() };
  return notices.say('paused', STATES[state] ?? STATES.suspended, actions);
};
sound.onsource = () => {
  channels.reset();
  meter.reset(sound.file ? 'clips' : undefined);
  element('source-line').textContent = sourceLine.reset();
  inputs.tell();
};
sound.onstall = () => {
  channels.reset();
  notices.say('stalled', 'No sound comes from the browser any more.', { 'Open it again': openAgain });
};
sound.onflow = () => notices.clear('stalled');
inputs.onchange = () => {
  enter();
  return roles.perform();
};
inputs.onchoice = () => {
  sound.unload();
  player.show();
};
inputs.onfile = chooseFile;
channels.onuse = (use) => inputs.used(use);

async function start() {
  const reason = obstacle();
  if (reason) {
    notices.say('sound', reason);
    enter();
    return roles.perform();
  }
  sound.choose();
  await sound.open();
  const allowed = (await permission()) === 'granted';
  element('start').textContent = allowed ? 'Listening…' : 'Allow…';
  if (!allowed) element('tagline').textContent = 'The browser asks whether this page may hear.';
  await inputs.begin();
  if (sound.live) keep(PLAYED, 'yes', 'sessionStorage');
  return undefined;
}

/** Whether the microphone is allowed: 'granted', 'denied', 'prompt', or 'unknown' to a browser that does not tell. */
async function permission() {
  try {
    return (await navigator.permissions.query({ name: 'microphone' })).state;
  } catch {
    return 'unknown';
  }
}

async function openAgain() {
  for (const topic of ['stalled', 'paused', 'blank']) notices.clear(topic);
  try {
    await sound.reopen();
  } catch (error) {
    notices.say('stalled', `The sound cannot be opened again: ${error.message}`, { 'Try again': openAgain });
  }
  await inputs.list();
  return roles.perform();
}

async function playFile(file) {
  const reason = obstacle();
  enter();
  if (reason) return notices.say('sound', reason);
  try {
    if (!(await sound.load(file))) return undefined; // it comes after a later choice
  } catch (error) {
    notices.say('file', error.message, { 'Another file': chooseFile });
  }
  player.show();
  await inputs.list();
  return roles.perform();
}

async function playDropped(dropped) {
  const { file, said } = pick(dropped);
  notices.clear('dropped');
  if (file) await playFile(file);
  if (said && (!file || sound.file?.name === file.name)) notices.say('dropped', said);
}

function hearTab() {
  const reason = obstacle();
  return reason ? notices.say('sound', reason) : inputs.share();
}

function chooseFile() {
  element('file').value = '';
  element('file').click();
}

// ---- the page

function enter() {
  if (document.body.dataset.phase === 'playing') return;
  document.body.dataset.phase = 'playing';
  keepAwake();
  toStage();
}

function bind() {
  element('start').onclick = start;
  element('start-file').onclick = element('open-file').onclick = chooseFile;
  element('start-tab').onclick = element('open-tab').onclick = hearTab;
  element('start-tab').parentElement.hidden = !canShare();
  element('file').onchange = () => playFile(element('file').files[0]);
  element('host').textContent = location.host;
  document.addEventListener('visibilitychange', () => sound.resume());
  for (const kind of ['pointerdown', 'keydown']) addEventListener(kind, () => sound.resume());
  bindDrop(element('drop'), playDropped);
}

function draw(now) {
  requestAnimationFrame(draw);
  if (show.resting(now)) return; // whatever moves here makes the browser compose the whole page anew
  show.draw(now);
  if (viewing) return;
  meter.draw(now);
  channels.draw(now);
  readouts.draw(now);
}

function tell() {
  readouts.delayKnown = !sound.active || sound.delayKnown;
  readouts.render(performance.now());
  player.show();
}

function watchOnly() {
  document.body.dataset.phase = 'view';
  keepAwake();
  stage.open().catch(() => {}); // `refused` has said it
}

function controlOnly() {
  element('source').replaceChildren(make('p', { className: 'fine', textContent: 'The stage hears its own sound card.' }));
  enter();
  roles.perform();
}

async function begin() {
  const flip = (name) => () => change({ [name]: !current()[name] });
  const playing = { freeze: flip('freeze'), blackout: flip('blackout'), panic: flip('panic'), tap: () => readouts.ontap() };
  bindKeys(playing, { viewing, say: (text) => notices.say('fullscreen', text) });
  measure = followPointer(() => Math.min(innerWidth, innerHeight * aspect), COLUMN);
  document.body.classList.toggle('plain', show.screen.plain);
  requestAnimationFrame(draw);
  setInterval(lookForAnswer, ANSWER_MS);
  if (viewing) return watchOnly();
  bind();
  setInterval(tell, READOUT_MS);
  if (roles.withoutSound) return controlOnly();
  document.body.dataset.phase = 'welcome';
  await stage.open().catch(() => {}); // `refused` has said it
  if (roles.withoutSound) return controlOnly(); // hello has said that the stage hears a sound card
  const again = recall(PLAYED, 'sessionStorage') && (await permission()) === 'granted';
  return again ? start() : undefined;
}

begin();
