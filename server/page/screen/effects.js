/**
 * Effects after the decoder, at the rate of the screen: geometry, colours, glow, trails, grain.
 *
 * All in linear light. What stands at its neutral value costs nothing. Formulas, with their names, units and ranges, are
 * told in `clavilux.runtime.output.effects`, which draws the same in films; a test compares the two.
 */

import { Program, Target } from './gl.js';
import { LIGHT_MASK } from './light_state.js';
import { SPLINE, PLANE } from './size.js';

/** Where each effect does nothing. */
export const NEUTRAL = Object.freeze({
  exposure: 0, zoom: 1, rotation: 0, hue: 0, saturation: 1, displacement: 0, glow: 0, trails: 0, grain: 0, mirror: 0,
});

const LUMINANCE = [0.2126, 0.7152, 0.0722];
const RING = 0.8; // heights from the middle of a kaleidoscope at which it turns back
const SLIDE = 0.3; // heights that its mirrors stand below the picture's middle, where they are many
const BLEED = 0.2; // of the light that a colour cannot show, in each of the three
const FEATHER = 0.07; // heights over which a picture melts into its ground
const NO_FEATHER = 1e-5;
const TRAIL_RATE = 30; // trails tell what stays after a thirtieth of a second
const GRAIN_RATE = 24; // grains a second
const GRAIN_DEPTH = 0.14; // of the square root of light
const GLOW_ROWS = 120; // of the near glow; 30 of the wide one
const WIDE = 4; // times as wide
const GLOW_SPREAD = 2; // standard deviation in its own rows, of both
const GLOW_REACH = 6; // rows to each side that count
const GLOW_LOW = 0.05; // luminance from which light begins to spill,
const GLOW_HIGH = 0.75; // and from which all does
const GLOW_SHARES = [0.8, 1.4]; // near and wide, at glow 1
const GRAIN_PERIOD = 1 << 20; // steps after which grain comes again
const RIPPLES = [0.23, -0.31, -0.19, 0.37]; // turns a second of the four waves

const VEIL = 0.7; // of a picture that is of nothing known, in full light
const number = (value) => value.toFixed(6);

// What is too bright for its colour goes towards white, as light does to eyes and film.
const BLED = `
vec3 bled(vec3 c) {
  vec3 excess = max(c - 1.0, 0.0);
  return c + ${number(BLEED)} * (excess.r + excess.g + excess.b);
}
`;

const SCENE = `${BLED}${LIGHT_MASK}
uniform sampler2D before, newest, groundBefore, groundNewest, light;
uniform float share, aspect, displacement, mirrors, gain;
uniform vec2 extent, feather, turn, wall, spread;
uniform vec4 waves;
uniform vec3 red, green, blue;
uniform bool lit;
const float TAU = 6.28318530718;
vec2 folded(vec2 p) {
  float sector = 0.5 * TAU / mirrors, angle = mod(atan(p.x, p.y), 2.0 * sector);
  angle = sector - abs(angle - sector);
  if (mirrors < 2.0) return length(p) * vec2(sin(angle), cos(angle));
  float r = ${number(RING)} - abs(mod(length(p), ${number(2 * RING)}) - ${number(RING)});
  return r * vec2(sin(angle), cos(angle)) - vec2(0.0, ${number(SLIDE)} * (1.0 - 1.0 / mirrors));
}
vec2 rippled(vec2 p) {
  return p + displacement * vec2(
    0.6 * sin(TAU * (1.3 * p.y + waves.x)) + 0.4 * sin(TAU * (2.9 * p.y - 1.1 * p.x + waves.y)),
    0.6 * sin(TAU * (1.1 * p.x + waves.z)) + 0.4 * sin(TAU * (2.3 * p.x + 1.7 * p.y + waves.w)));
}
void main() {
  vec2 p = (at - 0.5) * extent;
  if (mirrors > 0.0) p = folded(p);
  p = vec2(turn.x * p.x + turn.y * p.y, turn.x * p.y - turn.y * p.x);
  if (displacement > 0.0) p = rippled(p);
  vec2 unit = p / vec2(aspect, 1.0), inside = smoothstep(vec2(0.0), feather, 0.5 * vec2(aspect, 1.0) - abs(p));
  float mask = inside.x * inside.y;
  vec3 c = vec3(0.0);
  if (mask > 0.0) {
    c = texture(newest, unit + 0.5).rgb;
    if (share < 1.0) c = mix(texture(before, unit + 0.5).rgb, c, share);
  }
  if (mask < 1.0) {
    vec2 place = unit / ${number(PLANE)} + 0.5;
    vec3 ground = texture(groundNewest, place).rgb;
    if (share < 1.0) ground = mix(texture(groundBefore, place).rgb, ground, share);
    c = mix(ground, c, mask);
  }
  // Added as far as there is room for it: a picture is still seen in the light.
  if (lit) c *= 1.0 - ${number(VEIL)} * spread.x; // a picture of nothing that is known stands behind the light
  if (lit) c += max(1.0 - c, 0.0) * lightMask((2.0 * at - 1.0) * wall, spread.x, spread.y) * texture(light, at).rgb;
  colour = vec4(gain * bled(max(vec3(dot(red, c), dot(green, c), dot(blue, c)), vec3(0.0))), 1.0);
}`;

// Light that spills: four samples of each place, between pixels, then what is bright of it.
const BRIGHT = `
uniform sampler2D scene;
uniform vec2 pixel;
uniform bool chosen;
void main() {
  vec3 c = vec3(0.0);
  for (int y = 0; y < 2; y++) for (int x = 0; x < 2; x++) c += texture(scene, at + (vec2(x, y) - 0.5) * 0.5 * pixel).rgb;
  c *= 0.25;
  if (chosen) c *= smoothstep(${number(GLOW_LOW)}, ${number(GLOW_HIGH)}, dot(c, vec3(${LUMINANCE.join(', ')})));
  colour = vec4(c, 1.0);
}`;

const BLUR = `
uniform sampler2D image;
uniform bool down;
void main() {
  ivec2 here = ivec2(gl_FragCoord.xy), last = textureSize(image, 0) - 1, pixel = down ? ivec2(0, 1) : ivec2(1, 0);
  vec4 sum = vec4(0.0);
  for (int i = -${GLOW_REACH}; i <= ${GLOW_REACH}; i++) {
    float d = float(i) / ${number(GLOW_SPREAD)};
    sum += exp(-0.5 * d * d) * vec4(texelFetch(image, clamp(here + i * pixel, ivec2(0), last), 0).rgb, 1.0);
  }
  colour = vec4(sum.rgb / sum.a, 1.0);
}`;

const BOTH = `${SPLINE}
uniform sampler2D near, wide;
void main() {
  colour = vec4(${number(GLOW_SHARES[0])} * texture(near, at).rgb + ${number(GLOW_SHARES[1])} * spline(wide, at), 1.0);
}`;

const FINISH = `
uniform sampler2D scene, spilled, past;
uniform float glow, trails, grain, gain;
uniform int moment;
uint hash(uint x) {
  x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
  return x;
}
void main() {
  vec3 c = texture(scene, at).rgb;
  if (glow > 0.0) c += max(1.0 - c, 0.0) * min(glow * texture(spilled, at).rgb, 1.0);
  if (trails > 0.0) c = max(c, trails * texture(past, at).rgb);
  if (grain > 0.0) {
    uint h = hash(uint(gl_FragCoord.x) + hash(uint(gl_FragCoord.y) + hash(uint(moment))));
    float noise = float((h & 0xffffu) + (h >> 16)) / 65535.0 - 1.0;
    vec3 root = max(sqrt(c) + ${number(GRAIN_DEPTH)} * grain * noise, 0.0);
    c = root * root;
  }
  colour = vec4(gain * c, 1.0);
}`;

/** Rows of the matrix that turns colours by `hue` degrees round grey, then saturates them, then brightens by stops. */
export function colourMatrix({ hue, saturation, exposure }) {
  const angle = (hue * Math.PI) / 180;
  const [same, along, across] = [Math.cos(angle), (1 - Math.cos(angle)) / 3, Math.sin(angle) / Math.sqrt(3)];
  const turn = [
    [same + along, along - across, along + across],
    [along + across, same + along, along - across],
    [along - across, along + across, same + along],
  ];
  const grey = [0, 1, 2].map((column) => LUMINANCE.reduce((sum, share, row) => sum + share * turn[row][column], 0));
  const factor = 2 ** exposure;
  return turn.map((row) => row.map((value, column) => factor * (grey[column] + saturation * (value - grey[column]))));
}

/** How the plane lies on the screen: `extent` in heights of the picture, its `rows` in pixels, where it melts away. */
export function placing({ width, height, aspect, cover, values }) {
  const choose = cover ? Math.max : Math.min;
  const rows = choose(height, width / aspect);
  const extent = [width / rows, height / rows];
  const angle = (values.rotation * Math.PI) / 180;
  const turn = [Math.cos(angle) / values.zoom, Math.sin(angle) / values.zoom];
  const reach = values.mirror ? [Math.hypot(...extent), Math.hypot(...extent)] : extent;
  const [across, up] = [
    Math.abs(turn[0]) * reach[0] + Math.abs(turn[1]) * reach[1],
    Math.abs(turn[1]) * reach[0] + Math.abs(turn[0]) * reach[1],
  ];
  // As wide as the screen reaches over the picture, up to FEATHER: a picture that just fills it keeps its edges.
  const over = [across - aspect, up - 1].map((more) => more / 2 + values.displacement);
  return { rows, extent, turn, feather: over.map((more) => Math.min(Math.max(more, NO_FEATHER), FEATHER)) };
}

/** Draws pictures, light and effects into targets of `width` x `height`. */
export class Effects {
  constructor(gl) {
    this.gl = gl;
    this.programs = Object.fromEntries(
      Object.entries({ SCENE, BRIGHT, BLUR, BOTH, FINISH }).map(([name, source]) => [name, new Program(gl, source)]),
    );
    this.size = [0, 0];
    this.past = null; // what was shown last, for trails
  }

  resize(width, height) {
    if (this.size[0] === width && this.size[1] === height) return;
    this.free();
    this.size = [width, height];
    this.scene = new Target(this.gl, width, height);
    this.finished = new Target(this.gl, width, height);
  }

  /**
   * Returns the Target that holds what is to be shown. @param {Plates} plates @param {object} what `share` of the newest
   * plate, `values` by name, `place` of `placing`, `light` (a Target or null) and its `spread` (`lightAmount`), `gain`, and
   * times in seconds: `now`, and `passed` since the last call.
   */
  draw(plates, { share, values, place, light = null, spread = [1, 0], gain, now, passed }) {
    const plain = !(values.glow || values.trails || values.grain);
    this._scene(plates, { share, values, place, light, spread, gain: plain ? gain : 1, now });
    if (!values.trails) this._forget();
    if (plain) return this.scene;
    const spilled = values.glow ? this._glow() : null;
    if (!values.trails) return this._finish(this.finished, { ...values, spilled, gain, now });
    const trailed = this._trails(spilled, values, passed);
    if (!values.grain && gain === 1) return trailed;
    return this._finish(this.finished, { scene: trailed, grain: values.grain, gain, now });
  }

  _scene(plates, { share, values, place, light, spread, gain, now }) {
    const [red, green, blue] = colourMatrix(values);
    const { before, newest } = plates;
    this.programs.SCENE.cover(this.scene, {
      before: before.picture, newest: newest.picture, groundBefore: before.ground, groundNewest: newest.ground,
      light: light ?? newest.ground, lit: Boolean(light), spread, wall: [this.size[0] / this.size[1], 1], share, aspect: plates.aspect,
      displacement: values.displacement, mirrors: values.mirror, gain,
      extent: place.extent, feather: place.feather, turn: place.turn,
      waves: RIPPLES.map((speed) => (speed * now) % 1), red, green, blue,
    });
  }

  _glow() {
    const { gl } = this;
    const { BRIGHT, BLUR, BOTH } = this.programs;
    this.glows ??= this._glowTargets();
    const { near, wide, other, wideOther, spilled } = this.glows;
    const blur = (image, spare) => {
      BLUR.cover(spare, { image, down: false });
      BLUR.cover(image, { image: spare, down: true });
    };
    BRIGHT.cover(near, { scene: this.scene, pixel: [1 / near.width, 1 / near.height], chosen: true });
    blur(near, other);
    BRIGHT.cover(wide, { scene: near, pixel: [1 / wide.width, 1 / wide.height], chosen: false });
    blur(wide, wideOther);
    BOTH.cover(spilled, { near, wide });
    return spilled;
  }

  _glowTargets() {
    const target = ([width, height]) => new Target(this.gl, width, height);
    const [near, wide] = glowSizes(...this.size);
    return { near: target(near), other: target(near), spilled: target(near), wide: target(wide), wideOther: target(wide) };
  }

  _trails(spilled, values, passed) {
    const next = this.spare ?? new Target(this.gl, ...this.size);
    const decay = this.past ? values.trails ** (TRAIL_RATE * passed) : 0;
    this._finish(next, { spilled, glow: values.glow, trails: decay, past: this.past, gain: 1 });
    this.spare = this.past;
    this.past = next;
    return next;
  }

  _forget() {
    this.past?.free();
    this.spare?.free();
    this.past = this.spare = null;
  }

  _finish(target, { scene = this.scene, spilled, past, glow = 0, trails = 0, grain = 0, gain, now = 0 }) {
    const moment = Math.floor(now * GRAIN_RATE) % GRAIN_PERIOD;
    this.programs.FINISH.cover(target, {
      scene, spilled: spilled ?? scene, past: past ?? scene, glow: spilled ? glow : 0, trails: past ? trails : 0, grain, gain, moment,
    });
    return target;
  }

  free() {
    this._forget();
    for (const target of [this.scene, this.finished, ...Object.values(this.glows ?? {})]) target?.free();
    this.glows = null;
  }
}

/** Sizes of the two glows' targets, [width, height] each, the near one first. */
export function glowSizes(width, height) {
  const near = [Math.max(Math.round((GLOW_ROWS * width) / height), WIDE), GLOW_ROWS];
  return [near, [Math.ceil(near[0] / WIDE), Math.ceil(GLOW_ROWS / WIDE)]];
}
