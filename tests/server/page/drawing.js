/** Draws settings with the page's own passes, and gives their pixels back; used by test_screen.py. */

/**
 * Draws each of `cases` over the last two of `images` (base64 PNG). Returns RGBA rows, bottom first, as base64.
 * A case has `values`, and may have `share`, `now`, and `frames` that are `passed` seconds apart.
 */
export async function drawCases({ images, cases, width, height }) {
  const { openContext, Program, COLOUR_SPACE } = await import('/page/screen/gl.js');
  const { Plates } = await import('/page/screen/size.js');
  const { Effects, NEUTRAL, placing } = await import('/page/screen/effects.js');
  const gl = openContext(Object.assign(document.createElement('canvas'), { width, height }));
  const present = new Program(gl, `${COLOUR_SPACE}
    uniform sampler2D image;
    void main() { colour = vec4(toSrgb(min(texture(image, at).rgb, vec3(1.0))), 1.0); }`);
  const [plates, effects] = [new Plates(gl), new Effects(gl)];
  effects.resize(width, height);
  const bitmaps = await Promise.all(images.map(toBitmap));
  const aspect = bitmaps[0].width / bitmaps[0].height;
  plates.resize(placing({ width, height, aspect, cover: false, values: NEUTRAL }).rows);
  for (const bitmap of bitmaps) plates.take(bitmap, 1);
  return cases.map(({ values, share = 1, now = 0, frames = 1, passed = 0 }) => {
    const chosen = { ...NEUTRAL, ...values };
    const place = placing({ width, height, aspect, cover: false, values: chosen });
    let shown = effects.draw(plates, { share: 1, values: NEUTRAL, place, light: null, gain: 1, now, passed }); // forgets trails
    for (let frame = 0; frame < frames; frame += 1) {
      const grown = frame === frames - 1 ? share : 1 - share;
      shown = effects.draw(plates, { share: grown, values: chosen, place, light: null, gain: 1, now: now + frame * passed, passed });
    }
    present.cover(null, { image: shown });
    return pixels(gl, width, height);
  });
}

function pixels(gl, width, height) {
  const bytes = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

async function toBitmap(image) {
  const bytes = Uint8Array.from(atob(image), (character) => character.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: 'image/png' }));
}
