/**
 * The stage's pictures on a p5 canvas, inside a corona whose rays are as long as the sound is loud. A name that is heard
 * for the first time throws a ring, in a colour of its own. index.html says how to open it.
 */
import { Stage, toBitmap } from './clavilux.js';

const ADDRESS = new URLSearchParams(location.search).get('stage') ?? 'ws://127.0.0.1:7860/ws';
const RAYS = 90;
const SILENCE = -60; // dBFS: no rays; at 0 they are longest
const EASING = 0.15; // of the way to the newest loudness, each time it is drawn
const RING_SECONDS = 2;

const caption = document.getElementById('heard');
const stage = new Stage(ADDRESS);
let newest = null; // { bitmap, shown }: come, but not drawn yet
let picture = null; // ImageBitmap, the one on the canvas
let loudness = 0; // 0 to 1, eased
let status = { level: SILENCE, heard: null };
let rings = []; // { hue, born }, born in seconds of the sketch

/** A colour for a name, the same each time. */
function hueOf(name) {
  return [...name].reduce((sum, letter) => (31 * sum + letter.codePointAt(0)) % 360, 0);
}

new p5((sketch) => {
  const seconds = () => sketch.millis() / 1000;

  sketch.setup = () => {
    sketch.createCanvas(sketch.windowWidth, sketch.windowHeight);
    sketch.colorMode(sketch.HSB, 360, 100, 100, 1);
    // A frame counts as shown when it has been drawn: until then no more than one other is on its way.
    stage.onframe = async (frame) => {
      const bitmap = await toBitmap(frame);
      return new Promise((shown) => {
        newest?.bitmap.close();
        newest?.shown(0); // never: a newer one came before it was drawn
        newest = { bitmap, shown };
      });
    };
    stage.onstatus = (said) => {
      const name = said.heard?.name ?? '';
      if (name && name !== status.heard?.name) rings.push({ hue: hueOf(name), born: seconds() });
      status = said;
      caption.textContent = name;
    };
    stage.onstate = (state) => {
      if (state === 'waiting') caption.textContent = `no stage at ${ADDRESS}; trying again`;
    };
    stage.open().catch((refused) => (caption.textContent = refused.message));
  };

  sketch.draw = () => {
    sketch.background(0);
    sketch.translate(sketch.width / 2, sketch.height / 2);
    const radius = 0.3 * Math.min(sketch.width, sketch.height);
    const level = sketch.constrain(sketch.map(status.level, SILENCE, 0, 0, 1), 0, 1);
    loudness = sketch.lerp(loudness, level, EASING);
    drawRings(radius);
    drawRays(radius);
    drawPicture(radius);
  };

  sketch.windowResized = () => sketch.resizeCanvas(sketch.windowWidth, sketch.windowHeight);

  function drawRings(radius) {
    rings = rings.filter(({ born }) => seconds() - born < RING_SECONDS);
    sketch.noFill();
    sketch.strokeWeight(3);
    for (const { hue, born } of rings) {
      const age = (seconds() - born) / RING_SECONDS;
      sketch.stroke(hue, 70, 100, 1 - age);
      sketch.circle(0, 0, 2 * radius * (1 + age));
    }
  }

  function drawRays(radius) {
    if (loudness < 0.01) return; // nothing would look out from under the picture
    sketch.strokeWeight(2);
    sketch.stroke(hueOf(status.heard?.name ?? ''), 60, 100, 0.8);
    for (let ray = 0; ray < RAYS; ray += 1) {
      const angle = (2 * Math.PI * ray) / RAYS;
      const length = radius * (1 + loudness * sketch.noise(ray, seconds()));
      sketch.line(0, 0, length * Math.cos(angle), length * Math.sin(angle));
    }
  }

  function drawPicture(radius) {
    if (newest) {
      picture?.close();
      picture = newest.bitmap;
      newest.shown(performance.now());
      newest = null;
    }
    if (!picture) return;
    const context = sketch.drawingContext; // p5 draws images of its own; this is the browser's, and quicker
    context.save();
    context.beginPath();
    context.arc(0, 0, radius, 0, 2 * Math.PI);
    context.clip();
    context.drawImage(picture, -radius, -radius, 2 * radius, 2 * radius);
    context.restore();
  }
});
