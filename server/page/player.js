/** The small player: a sound file instead of the microphone, with its place, loop and pause. */

function element(id) {
  return document.getElementById(id);
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** Shows the file that `sound` plays. */
export class Player {
  /** @param {import('./sound.js').Sound} sound */
  constructor(sound) {
    this.sound = sound;
    this.seeking = false;
    element('file-play').onclick = () => this._toggle();
    element('file-loop').onclick = () => this._loop();
    element('file-close').onclick = () => this._close();
    element('seek').oninput = () => (this.seeking = true);
    element('seek').onchange = () => this._seek();
    sound.onfileend = () => this.show();
  }

  /** Bring the player in line with the sound. */
  show() {
    const { file, playing, position, loop } = this.sound;
    element('player').hidden = !file;
    if (!file) return;
    const { duration } = file.buffer;
    element('file-name').textContent = file.name;
    element('file-play').textContent = playing ? 'pause' : 'play';
    element('file-loop').setAttribute('aria-pressed', loop);
    element('file-time').value = `${clock(position)} / ${clock(duration)}`;
    if (this.seeking) return;
    element('seek').value = (1000 * position) / duration;
    element('seek').style.setProperty('--filled', `${(100 * position) / duration}%`);
  }

  _toggle() {
    if (this.sound.playing) this.sound.pause();
    else this.sound.play();
    this.show();
  }

  _loop() {
    this.sound.setLoop(!this.sound.loop);
    this.show();
  }

  _seek() {
    this.seeking = false;
    this.sound.play((element('seek').value / 1000) * this.sound.file.buffer.duration);
    this.show();
  }

  _close() {
    this.sound.unload();
    this.show();
  }
}
