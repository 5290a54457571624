/**
 * Caustics of the light in WebGL 2: sheets of rays folded by slow, soft mirrors; where a sheet folds, rays pile up and shine.
 *
 * For each sheet a small target takes where its rays meet the wall; a mesh of triangles between them is added up, each ray as
 * bright as its piece of the source is large beside its piece of the wall, so that folding neither makes nor loses light. Then
 * come a soft focus, the symmetry, a glow and the tone curve. `runtime/output/light.py` draws the same numbers in NumPy.
 */

import { bind, Program, Target } from './gl.js';
import { EDDIES, FOLDS, rise, SHADES, sheets } from './light_sheets.js';
import { RINGS } from './light_state.js';

const [COARSEST_MESH, FINEST_MESH] = [32, 200]; // rays along a side of a sheet, at quality 0 and 1
const [MIN_ROWS, MAX_ROWS] = [90, 720]; // of the picture that is drawn; it is enlarged where the screen has more
const REACH = 2;
const SHARPEST = 0.2;
const SOFTEST_PIXELS = 0.9;
const EXPOSURE = 2.6;
const TOE = 0.3;
const [SHADED, TURNED] = [0.7, 0.8];
const [CLOSE_GLOW, WIDE_GLOW] = [0.05, 0.17];
const [CLOSE_SHARE, WIDE_SHARE] = [0.22, 0.2];
const [CLOSE_ROWS, WIDE_ROWS] = [90, 45]; // about as many rows as the glow is blurred on
const [SOFT_FINE, SOFT_COARSE, SOFT_TURBULENT] = [0.0022, 0.008, 0.003];
const PUSH_ACROSS = 0.26;
const MAX_TAPS = 24; // pairs of pixels on each side of a blur

const FOLD = `
uniform vec4 across[${FOLDS + EDDIES}];
uniform vec4 up[${FOLDS + EDDIES}];
uniform int waves;
uniform float ripple[${RINGS}];
uniform vec2 middle;
uniform vec2 stretch;
uniform float mesh;
float pushed(float away) {
  float total = 0.0;
  for (int ring = 0; ring < ${RINGS}; ring++) {
    float gap = abs(away * ${((RINGS - 1) / 1.1).toFixed(7)} - float(ring));
    float wide = max(2.0 - gap, 0.0);
    float near = max(1.0 - gap, 0.0);
    total += ripple[ring] * (wide * wide * wide - 4.0 * near * near * near) / 6.0;
  }
  return total;
}
void main() {
  vec2 ray = 2.0 * (gl_FragCoord.xy - 0.5) / (mesh - 1.0) - 1.0;
  ray *= 1.0 + ${PUSH_ACROSS} * pushed(length(ray));
  vec2 meets = middle + stretch * ray;
  for (int i = 0; i < waves; i++) {
    meets += vec2(across[i].w * sin(dot(across[i].xy, ray) + across[i].z), up[i].w * sin(dot(up[i].xy, ray) + up[i].z));
  }
  // A half float alone is too coarse for a place on the wall: two of them, of which the second takes what the first left.
  vec2 coarse = vec2(unpackHalf2x16(packHalf2x16(meets)));
  colour = vec4(coarse, meets - coarse);
}`;

const PILE = `
uniform sampler2D places;
uniform int mesh;
uniform vec4 shade[${SHADES}];
uniform vec3 one;
uniform vec3 other;
uniform float light;
vec2 place(ivec2 ray) {
  vec4 parts = texelFetch(places, clamp(ray, ivec2(0), ivec2(mesh - 1)), 0);
  return parts.xy + parts.zw;
}
void main() {
  ivec2 ray = ivec2(gl_FragCoord.xy);
  vec2 here = place(ray);
  vec2 arms[7] = vec2[7](
    place(ray + ${REACH} * ivec2(1, 0)) - here, place(ray + ${REACH} * ivec2(0, 1)) - here, place(ray + ${REACH} * ivec2(-1, 1)) - here,
    place(ray + ${REACH} * ivec2(-1, 0)) - here, place(ray + ${REACH} * ivec2(0, -1)) - here, place(ray + ${REACH} * ivec2(1, -1)) - here, vec2(0.0));
  arms[6] = arms[0];
  float whole = 0.0;
  float turned = 0.0;
  for (int i = 0; i < 6; i++) {
    float twice = (arms[i].x * arms[i + 1].y - arms[i].y * arms[i + 1].x) / ${REACH * REACH}.0;
    whole += abs(twice);
    turned += twice;
  }
  float side = 2.0 / float(mesh - 1);
  vec2 at = side * vec2(ray) - 1.0;
  vec2 square = at * at;
  vec2 hem = 1.0 - square * square * square * square;
  float soft = exp(-2.2 * dot(square, vec2(1.0)) * dot(square, vec2(1.0))) * hem.x * hem.y;
  float mixed = ${TURNED} * turned / (whole + 1e-9);
  for (int i = 0; i < ${SHADES}; i++) mixed += ${SHADED} * shade[i].w * sin(dot(shade[i].xy, at) + shade[i].z);
  mixed = 0.5 + 0.5 * mixed / sqrt(1.0 + mixed * mixed);
  float even = 6.0 * side * side;
  colour = vec4(light * soft * even / (whole + ${SHARPEST} * even) * mix(one, other, mixed), 1.0);
}`;

const MESH = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D places;
uniform sampler2D lights;
uniform int mesh;
uniform float aspect;
uniform float middle;
out vec3 lit;
void main() {
  ivec2 ray = ivec2(gl_VertexID % mesh, gl_VertexID / mesh);
  vec4 parts = texelFetch(places, ray, 0);
  lit = texelFetch(lights, ray, 0).rgb;
  gl_Position = vec4((parts.x + parts.z) / aspect, parts.y + parts.w + middle, 0.0, 1.0);
}`;

const ADD = `
in vec3 lit;
void main() { colour = vec4(lit, 1.0); }`;

const COPY = `
uniform sampler2D picture;
void main() { colour = texture(picture, at); }`;

const BLUR = `
uniform sampler2D picture;
uniform vec2 stride;
uniform vec2 taps[${MAX_TAPS}];
uniform int pairs;
uniform float own;
void main() {
  vec3 total = own * texture(picture, at).rgb;
  for (int i = 0; i < pairs; i++) {
    total += taps[i].y * (texture(picture, at + taps[i].x * stride).rgb + texture(picture, at - taps[i].x * stride).rgb);
  }
  colour = vec4(total, 1.0);
}`;

const SYMMETRY = `
uniform sampler2D picture;
uniform float aspect;
uniform float middle;
uniform float third;
uniform float sixth;
vec3 turned(vec2 p, float angle) {
  vec2 q = mat2(cos(angle), sin(angle), -sin(angle), cos(angle)) * p + vec2(0.0, middle);
  vec2 from = 0.5 + 0.5 * q / vec2(aspect, 1.0);
  vec2 inside = smoothstep(vec2(0.0), vec2(0.25), min(from, 1.0 - from));
  return texture(picture, from).rgb * inside.x * inside.y;
}
void main() {
  vec2 p = (2.0 * at - 1.0) * vec2(aspect, 1.0) - vec2(0.0, middle);
  vec3 total = texture(picture, at).rgb;
  total += third * (turned(p, ${(2 * Math.PI / 3).toFixed(8)}) + turned(p, ${(4 * Math.PI / 3).toFixed(8)}));
  if (sixth > 0.0) total += sixth * (turned(p, ${(Math.PI / 3).toFixed(8)}) + turned(p, ${Math.PI.toFixed(8)}) + turned(p, ${(5 * Math.PI / 3).toFixed(8)}));
  colour = vec4(total / pow(1.0 + 2.0 * third + 3.0 * sixth, 0.85), 1.0);
}`;

const SHINE = `
uniform sampler2D figure;
uniform sampler2D close;
uniform sampler2D wide;
uniform float amount;
void main() {
  vec3 light = texture(figure, at).rgb + ${CLOSE_SHARE} * texture(close, at).rgb + ${WIDE_SHARE} * texture(wide, at).rgb;
  colour = vec4(amount * (1.0 - exp(-${EXPOSURE} * light * light / (light + ${TOE}))), 1.0);
}`;

/** Light drawn on the graphics processor. `quality`, 0 to 1, may be changed between two pictures. */
export class Light {
  constructor(gl, { quality = 1 } = {}) {
    this.gl = gl;
    this.quality = quality;
    this._fold = new Program(gl, FOLD);
    this._pile = new Program(gl, PILE);
    this._mesh = new Program(gl, ADD, MESH);
    this._copy = new Program(gl, COPY);
    this._blur = new Program(gl, BLUR);
    this._symmetry = new Program(gl, SYMMETRY);
    this._shine = new Program(gl, SHINE);
    this._triangles = gl.createBuffer();
    this._side = 0;
    this._rays = [];
    this._levels = [];
    this._size = '';
    this._targets = [];
  }

  /** Draw the settings for a wall of this size; the target may be smaller and is to be added, linearly sampled. @returns {Target} */
  draw(settings, width, height) {
    const quality = Math.min(Math.max(this.quality, 0), 1);
    this._useMesh(Math.round(COARSEST_MESH + (FINEST_MESH - COARSEST_MESH) * quality));
    const rows = Math.min(height, Math.round(MIN_ROWS + (MAX_ROWS - MIN_ROWS) * quality));
    this._useSize(Math.max(1, Math.round((rows * width) / height)), rows);
    const [caustics, second, third] = this._targets;
    const middle = rise(settings);
    this._drawSheets(settings, caustics, width / height, middle);
    const soft = SOFT_COARSE + (SOFT_FINE - SOFT_COARSE) * Math.sqrt(settings.fineness) + SOFT_TURBULENT * settings.turbulence;
    this._blurred(caustics, second, third, Math.max(soft * rows, SOFTEST_PIXELS));
    const figure = this._symmetrical(third, second, settings.symmetry, { aspect: width / height, middle });
    const glows = this._glow(figure);
    this._shine.cover(caustics, { figure, ...glows, amount: settings.amount });
    return caustics;
  }

  _useMesh(side) {
    if (side === this._side) return;
    const { gl } = this;
    this._side = side;
    for (const target of this._rays.flat()) target.free();
    this._rays = [];
    const corners = new Uint16Array(6 * (side - 1) ** 2);
    let at = 0;
    for (let row = 0; row < side - 1; row += 1) {
      for (let column = 0; column < side - 1; column += 1) {
        const ray = row * side + column;
        corners.set([ray, ray + 1, ray + side, ray + side + 1, ray + side, ray + 1], at);
        at += 6;
      }
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this._triangles);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, corners, gl.STATIC_DRAW);
    this._count = corners.length;
  }

  _useSize(width, height) {
    if (this._size === `${width} ${height}`) return;
    const { gl } = this;
    for (const target of [...this._targets, ...this._levels.flat()]) target.free();
    this._size = `${width} ${height}`;
    this._targets = [0, 1, 2].map(() => new Target(gl, width, height));
    this._levels = [];
    let [across, rows] = [width, height];
    while (rows > 1.4 * WIDE_ROWS) {
      [across, rows] = [Math.ceil(across / 2), Math.ceil(rows / 2)];
      this._levels.push([0, 1, 2].map(() => new Target(gl, across, rows)));
    }
  }

  _drawSheets(settings, target, aspect, middle) {
    const { gl } = this;
    const lit = sheets(settings);
    const waves = settings.turbulence > 0 ? FOLDS + EDDIES : FOLDS;
    while (this._rays.length < lit.length) this._rays.push([0, 1].map(() => new Target(gl, this._side, this._side, { filter: gl.NEAREST })));
    lit.forEach((sheet, i) => this._castSheet(sheet, waves, settings.ripple, this._rays[i]));
    bind(gl, target);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this._triangles);
    lit.forEach((_, i) => {
      const [places, lights] = this._rays[i];
      this._mesh.use({ places, lights, mesh: this._side, aspect, middle });
      gl.drawElements(gl.TRIANGLES, this._count, gl.UNSIGNED_SHORT, 0);
    });
    gl.disable(gl.BLEND);
  }

  /** Find where the rays of a sheet meet the wall, and how bright they are there. */
  _castSheet(sheet, waves, ripple, [places, lights]) {
    const [one, other] = sheet.colours;
    const [across, up, shade] = [sheet.across, sheet.up, sheet.shade].map((all) => new Float32Array(all.flat()));
    const { middle, stretch, light } = sheet;
    this._fold.cover(places, { across, up, waves, ripple: new Float32Array(ripple), middle, stretch, mesh: this._side });
    this._pile.cover(lights, { places, mesh: this._side, shade, one, other, light });
  }

  /** Blur `from` into `to` by way of `between`; all have the same size, sigma in pixels. */
  _blurred(from, between, to, sigma) {
    const taps = gaussian(sigma);
    this._blur.cover(between, { picture: from, stride: [1 / from.width, 0], ...taps });
    this._blur.cover(to, { picture: between, stride: [0, 1 / from.height], ...taps });
    return to;
  }

  _symmetrical(picture, target, symmetry, wall) {
    if (!(symmetry > 0)) return picture;
    this._symmetry.cover(target, { picture, third: smooth(2 * symmetry), sixth: smooth(2 * symmetry - 1), ...wall });
    return target;
  }

  _glow(figure) {
    const glows = { close: null, wide: null };
    let from = figure;
    for (const [small, between, blurred] of this._levels) {
      this._copy.cover(small, { picture: from });
      from = small;
      if (!glows.close && small.height <= 1.4 * CLOSE_ROWS) glows.close = this._blurred(small, between, blurred, spread(CLOSE_GLOW * small.height));
    }
    const [small, between, blurred] = this._levels.at(-1);
    glows.wide = glows.close?.height === small.height ? glows.close : this._blurred(small, between, blurred, spread(WIDE_GLOW * small.height));
    return glows;
  }
}

/** Halving and enlarging blur by about half a pixel themselves. */
function spread(sigma) {
  return Math.sqrt(sigma * sigma - 0.25);
}

function smooth(value) {
  const part = Math.min(Math.max(value, 0), 1);
  return part * part * (3 - 2 * part);
}

/** Taps of a Gaussian of `sigma` pixels, two pixels at a time: where between them to sample, and how much it counts. */
export function gaussian(sigma) {
  const reach = Math.min(Math.ceil(2.6 * sigma), 2 * MAX_TAPS);
  const weights = Array.from({ length: reach + 2 }, (_, i) => (i <= reach ? Math.exp(-0.5 * (i / sigma) ** 2) : 0));
  const total = weights[0] + 2 * weights.slice(1).reduce((sum, weight) => sum + weight, 0);
  const taps = new Float32Array(2 * MAX_TAPS);
  const pairs = Math.ceil(reach / 2);
  for (let i = 0; i < pairs; i += 1) {
    const [near, far] = [weights[1 + 2 * i], weights[2 + 2 * i]];
    taps[2 * i] = 1 + 2 * i + far / (near + far);
    taps[2 * i + 1] = (near + far) / total;
  }
  return { taps, pairs, own: weights[0] / total };
}
