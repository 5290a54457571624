/** The picture on its canvas: newest wins, drawn when the screen is ready, with the time at which it was shown. */

import { toBitmap } from './clavilux.js';

const MAX_SIDE = 1600; // pixels of the canvas; beyond it the browser's own scaling does as well
const MAX_WAIT_MS = 500; // a frame that waited longer was held back by a hidden page: its time says nothing
const GLOW_SIDE = 24;
const GLOW_BLUR = 2;
const GLOW_SHARE = 0.08; // of each new picture in the glow: it follows slowly, so it cannot flash

/** Draws frames on `canvas`, and their slow afterglow on `glow`. */
export class Picture {
  /** @param {HTMLCanvasElement} canvas @param {HTMLCanvasElement} glow */
  constructor(canvas, glow) {
    this.canvas = canvas;
    this.glow = glow;
    this.frozen = false;
    this.seen = false;
    this.cover = false;
    this._waiting = null;
    this._newest = -1;
    this._aspect = 1;
    this._context = canvas.getContext('2d', { alpha: false });
    this._glow = glow.getContext('2d', { alpha: false });
    glow.width = glow.height = GLOW_SIDE;
    this._glow.filter = `blur(${GLOW_BLUR}px)`; // at this size it costs nothing
    new ResizeObserver(() => this.fit()).observe(canvas.parentElement);
  }

  /** Show a frame. Resolves with the local ms at which it reached the screen, 0 when a newer one or a freeze came first. */
  async show(frame) {
    this._newest = frame.sequence;
    if (this.frozen && this.seen) return 0;
    const bitmap = await toBitmap(frame);
    if (frame.sequence < this._newest) return discard(bitmap);
    this._waiting?.give(discard(this._waiting.bitmap));
    return new Promise((give) => {
      const first = !this._waiting;
      this._waiting = { bitmap, give, sequence: frame.sequence, since: performance.now() };
      if (first) requestAnimationFrame(() => this._draw());
    });
  }

  /** A new session counts its frames from elsewhere. */
  reset() {
    this._newest = -1;
  }

  /** Size the canvas to its place, keeping the picture's aspect. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    const choose = this.cover ? Math.max : Math.min;
    const shown = choose(width, height * this._aspect);
    const scale = Math.min(devicePixelRatio, MAX_SIDE / Math.max(shown, shown / this._aspect));
    this.canvas.style.width = `${shown}px`;
    this.canvas.style.height = `${shown / this._aspect}px`;
    this._resize(Math.round(shown * scale), Math.round((shown / this._aspect) * scale));
  }

  _resize(width, height) {
    if (width < 1 || (this.canvas.width === width && this.canvas.height === height)) return;
    const kept = this.seen ? new OffscreenCanvas(this.canvas.width, this.canvas.height) : null;
    kept?.getContext('2d').drawImage(this.canvas, 0, 0);
    Object.assign(this.canvas, { width, height });
    this._context.imageSmoothingQuality = 'high';
    if (kept) this._context.drawImage(kept, 0, 0, width, height);
  }

  _draw() {
    const { bitmap, give, sequence, since } = this._waiting;
    this._waiting = null;
    if (this.frozen && this.seen) return give(discard(bitmap));
    if (bitmap.width / bitmap.height !== this._aspect) this._reshape(bitmap);
    this._context.drawImage(bitmap, 0, 0, this.canvas.width, this.canvas.height);
    this._glow.globalAlpha = this.seen ? GLOW_SHARE : 1;
    this._glow.drawImage(bitmap, 0, 0, GLOW_SIDE, GLOW_SIDE);
    this.seen = true;
    this.canvas.dataset.sequence = sequence;
    bitmap.close();
    // What is drawn now is composited for the next refresh of the screen, whose time the next callback tells.
    return requestAnimationFrame((time) => give(time - since < MAX_WAIT_MS ? time : 0));
  }

  _reshape(bitmap) {
    this._aspect = bitmap.width / bitmap.height;
    this.fit();
  }
}

function discard(bitmap) {
  bitmap.close();
  return 0;
}
