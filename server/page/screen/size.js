/**
 * Size: a picture of few pixels made worth a large screen, and ground beside it where the screen is wider or taller.
 *
 * Once for each picture: sharpened without overshoot, enlarged by a kernel (two lobes, close to Lanczos') that is drawn
 * out along edges and so leaves no stairs and no rings; and its *ground*: the edges go on over the plane, the softer the
 * further. The idea of edge-directed kernels is that of AMD's FSR 1 (Lottes, 2021), the kernel and the rest are not.
 * `clavilux.runtime.output.size` is its twin for films, with the same numbers.
 */

import { COLOUR_SPACE, Program, Target } from './gl.js';

const SHARPEN = 0.6; // times the difference from the neighbours
const NOISE = 0.0008; // squared gradient below which no edge is believed
const ALONG = 0.75; // how much less distance counts along an edge than across it, at most
export const SMALL_SIDE = 32; // pixels of the picture that its ground is made of
const TAPS = 8; // samples a side for each of them
export const PLANE = 3; // the ground covers so many pictures a side
const GROUND_SIDE = SMALL_SIDE * PLANE;
const LEVELS = 5; // of softness, each twice the one before
const SOFTEST = 0.03; // standard deviation of the first, in heights of the picture
const SOFTENING = 0.5; // of it for each height of distance
const RIM = 0.02; // standard deviation of what counts as edge, in sides of the picture
const LEAST = 1e-4; // the middle counts for this, where there is nothing else
const FALLOFF = 1.1; // heights from the picture at which its ground has half the light
const FEW_ROWS = 360; // of a picture on the screen: its ground needs half as many
const MAX_SIDE = 2560; // pixels a side; beyond, the screen's own filter does as well

const number = (value) => value.toFixed(6);

// Pictures come with their top row first. Everything after this pass has its bottom row first.
const SHARPENED = `
uniform sampler2D picture;
void main() {
  ivec2 size = textureSize(picture, 0), last = size - 1;
  ivec2 here = ivec2(gl_FragCoord.xy);
  here.y = last.y - here.y;
  vec3 middle = texelFetch(picture, here, 0).rgb;
  vec3 left = texelFetch(picture, clamp(here - ivec2(1, 0), ivec2(0), last), 0).rgb;
  vec3 right = texelFetch(picture, clamp(here + ivec2(1, 0), ivec2(0), last), 0).rgb;
  vec3 above = texelFetch(picture, clamp(here - ivec2(0, 1), ivec2(0), last), 0).rgb;
  vec3 below = texelFetch(picture, clamp(here + ivec2(0, 1), ivec2(0), last), 0).rgb;
  vec3 least = min(middle, min(min(left, right), min(above, below)));
  vec3 most = max(middle, max(max(left, right), max(above, below)));
  vec3 sharp = middle + ${number(SHARPEN)} * (middle - 0.25 * (left + right + above + below));
  colour = vec4(clamp(sharp, least, most), 1.0);
}`;

// Loops over neighbours are written out: processors that draw without a graphics card take twice as long for a loop.
const around = (from, to, write) => {
  const places = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  return places.flatMap((y) => places.map((x) => write(x, y))).join('\n  ');
};
const name = (x, y) => `at_${x + 2}_${y + 2}`;

// Squared distance in the kernel is x*x*metric.x + y*y*metric.y + x*y*metric.z: along edges it counts less. From the
// structure tensor of luma (Förstner and Gülch, 1987), softened over 3 x 3 pixels.
const METRIC = `
uniform sampler2D source;
float luma(ivec2 place) {
  return dot(texelFetch(source, clamp(place, ivec2(0), textureSize(source, 0) - 1), 0).rgb, vec3(0.299, 0.587, 0.114));
}
void main() {
  ivec2 here = ivec2(gl_FragCoord.xy);
  ${around(-2, 2, (x, y) => (Math.abs(x * y) === 4 ? '' : `float ${name(x, y)} = luma(here + ivec2(${x}, ${y}));`))}
  vec3 tensor = vec3(0.0);
  vec2 slope;
  ${around(-1, 1, (x, y) => `
  slope = 0.5 * vec2(${name(x + 1, y)} - ${name(x - 1, y)}, ${name(x, y + 1)} - ${name(x, y - 1)});
  tensor += ${number((2 - Math.abs(x)) * (2 - Math.abs(y)) / 16)} * vec3(slope * slope, slope.x * slope.y);`)}
  float energy = tensor.x + tensor.y, difference = tensor.x - tensor.y, both = 2.0 * tensor.z;
  float root = sqrt(difference * difference + both * both);
  float less = ${number(ALONG)} * root / (energy + ${number(NOISE)});
  vec2 turn = root > 0.0 ? vec2(difference, both) / root : vec2(0.0);
  colour = vec4(1.0 - 0.5 * less + 0.5 * less * turn.x, 1.0 - 0.5 * less - 0.5 * less * turn.x, less * turn.y, 1.0);
}`;

const ENLARGED = `${COLOUR_SPACE}
uniform sampler2D source, metric;
void main() {
  ivec2 size = textureSize(source, 0);
  vec2 place = at * vec2(size) - 0.5, base = floor(place), part = place - base;
  ivec4 columns = clamp(int(base.x) + ivec4(-1, 0, 1, 2), 0, size.x - 1), rows = clamp(int(base.y) + ivec4(-1, 0, 1, 2), 0, size.y - 1);
  vec3 m = texture(metric, at).xyz;
  // Weights of four columns at once.
  vec4 x = vec4(-1.0, 0.0, 1.0, 2.0) - part.x, y = vec4(-1.0, 0.0, 1.0, 2.0) - part.y, xx = x * x * m.x, d, t, w;
  vec3 sum = vec3(0.0);
  float weights = 0.0;
  ${around(0, 3, (i, j) => `${i > 0 ? '' : `
  d = xx + y[${j}] * (y[${j}] * m.y + x * m.z);
  t = max(1.0 - 0.25 * d, 0.0);
  t *= t;
  w = (1.0 - d) * t * t;
  weights += w.x + w.y + w.z + w.w;`}
  vec3 ${name(i, j)} = texelFetch(source, ivec2(columns[${i}], rows[${j}]), 0).rgb;
  sum += w[${i}] * ${name(i, j)};`)}
  vec3 least = min(min(${name(1, 1)}, ${name(2, 1)}), min(${name(1, 2)}, ${name(2, 2)}));
  vec3 most = max(max(${name(1, 1)}, ${name(2, 1)}), max(${name(1, 2)}, ${name(2, 2)}));
  colour = vec4(toLinear(clamp(sum / weights, least, most)), 1.0);
}`;

const DECODED = `${COLOUR_SPACE}
uniform sampler2D source;
void main() { colour = vec4(toLinear(texelFetch(source, ivec2(gl_FragCoord.xy), 0).rgb), 1.0); }`;

const SMALL = `${COLOUR_SPACE}
uniform sampler2D source;
void main() {
  vec3 sum = vec3(0.0);
  vec2 corner = floor(gl_FragCoord.xy);
  for (int y = 0; y < ${TAPS}; y++) for (int x = 0; x < ${TAPS}; x++) {
    vec2 place = (corner + (vec2(x, y) + 0.5) / ${number(TAPS)}) / ${number(SMALL_SIDE)};
    sum += toLinear(texture(source, place).rgb);
  }
  // What is near the edge goes on beyond it; the middle does not shine there.
  vec2 unit = (corner + 0.5) / ${number(SMALL_SIDE)}, edge = min(unit, 1.0 - unit) / ${number(RIM)};
  float weight = ${number(LEAST)} + exp(-0.5 * pow(min(edge.x, edge.y), 2.0));
  colour = vec4(weight * sum / ${number(TAPS * TAPS)}, weight);
}`;

const GROUND = `
const float SIDE = ${number(SMALL_SIDE)};
float deviation(int level) { return ${number(SOFTEST)} * exp2(float(level)); }
// Distance from the picture along one axis, and the nearest place in it; 0 to 1 is the picture.
float nearest(float place) { return clamp(place, 0.0, 1.0); }
float onPlane(float texel) { return (texel + 0.5) / SIDE - ${number((PLANE - 1) / 2)}; }
float weight(int tap, float place, float spread) {
  float d = ((float(tap) + 0.5) / SIDE - place) / spread;
  return exp(-0.5 * d * d);
}
// Taps that count: within four deviations.
ivec2 taps(float place, float spread) {
  return ivec2(max(floor(SIDE * (place - 4.0 * spread)), 0.0), min(ceil(SIDE * (place + 4.0 * spread)), SIDE));
}
`;

// All levels beside each other: columns of the plane, softened along x alone.
const SOFT_ROWS = `${GROUND}
uniform sampler2D small;
uniform float aspect;
void main() {
  ivec2 here = ivec2(gl_FragCoord.xy);
  int level = here.x / ${GROUND_SIDE};
  float place = nearest(onPlane(float(here.x - level * ${GROUND_SIDE})));
  float spread = deviation(level) / aspect, all = 0.0;
  vec4 sum = vec4(0.0);
  ivec2 ends = taps(place, spread);
  for (int i = ends.x; i < ends.y; i++) {
    float w = weight(i, place, spread);
    sum += w * texelFetch(small, ivec2(i, here.y), 0);
    all += w;
  }
  colour = sum / all;
}`;

const SOFT_PLANE = `${GROUND}
uniform sampler2D rows;
uniform float aspect;
vec3 soft(int level, int x, float place) {
  vec4 sum = vec4(0.0);
  float spread = deviation(level);
  ivec2 ends = taps(place, spread);
  for (int i = ends.x; i < ends.y; i++) {
    sum += weight(i, place, spread) * texelFetch(rows, ivec2(level * ${GROUND_SIDE} + x, i), 0);
  }
  return sum.rgb / sum.a;
}
void main() {
  ivec2 here = ivec2(gl_FragCoord.xy);
  vec2 place = vec2(onPlane(float(here.x)), onPlane(float(here.y)));
  vec2 near = vec2(nearest(place.x), nearest(place.y));
  float away = length((place - near) * vec2(aspect, 1.0));
  float level = clamp(log2(1.0 + ${number(SOFTENING / SOFTEST)} * away), 0.0, ${number(LEVELS - 1)});
  int first = min(int(level), ${LEVELS - 2});
  vec3 light = mix(soft(first, here.x, near.y), soft(first + 1, here.x, near.y), level - float(first));
  colour = vec4(light / (1.0 + away * away / ${number(FALLOFF ** 2)}), 1.0);
}`;

// Cubic B-splines by four samples between pixels (Sigg and Hadwiger, GPU Gems 2, 2005).
export const SPLINE = `
vec3 spline(sampler2D image, vec2 at) {
  vec2 size = vec2(textureSize(image, 0)), place = at * size - 0.5, base = floor(place), t = place - base, s = 1.0 - t;
  vec2 w0 = s * s * s / 6.0, w1 = (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0, w3 = t * t * t / 6.0, w2 = 1.0 - w0 - w1 - w3;
  vec2 first = w0 + w1, second = w2 + w3;
  vec2 low = (base - 0.5 + w1 / first) / size, high = (base + 1.5 + w3 / second) / size;
  return first.y * (first.x * texture(image, low).rgb + second.x * texture(image, vec2(high.x, low.y)).rgb)
    + second.y * (first.x * texture(image, vec2(low.x, high.y)).rgb + second.x * texture(image, high).rgb);
}
`;

const SMOOTH = `${SPLINE}
uniform sampler2D ground;
void main() { colour = vec4(spline(ground, at), 1.0); }`;

const MIXED = `
uniform sampler2D before;
uniform sampler2D newest;
uniform float share;
void main() { colour = mix(texture(before, at), texture(newest, at), share); }`;

/** One picture as it is shown: enlarged, and its ground; both in linear light. */
class Plate {
  constructor(gl, width, height, groundSide) {
    this.picture = new Target(gl, width, height);
    this.ground = new Target(gl, groundSide, groundSide);
  }

  free() {
    this.picture.free();
    this.ground.free();
  }
}

/** The last two pictures on plates: `before`, which is what was shown when the newest one came, and `newest`. */
export class Plates {
  constructor(gl) {
    this.gl = gl;
    this.aspect = 1; // width / height of the pictures
    this.size = [0, 0]; // pixels of the last picture
    this.programs = Object.fromEntries(
      Object.entries({ SHARPENED, METRIC, ENLARGED, DECODED, SMALL, SOFT_ROWS, SOFT_PLANE, SMOOTH, MIXED }).map(([name, source]) => [name, new Program(gl, source)]),
    );
    this.small = new Target(gl, SMALL_SIDE, SMALL_SIDE);
    this.rows = new Target(gl, LEVELS * GROUND_SIDE, SMALL_SIDE);
    this.ground = new Target(gl, GROUND_SIDE, GROUND_SIDE);
    this.uploaded = gl.createTexture();
    this.plates = null;
    this._rows = 0; // pixels that a picture's height is on the screen
  }

  get before() {
    return this.plates[0];
  }

  get newest() {
    return this.plates[1];
  }

  /** The height of a picture on the screen, in pixels. What is shown is made again for it. */
  resize(height) {
    if (height === this._rows) return;
    this._rows = height;
    if (!this.plates) return;
    this._cut();
    this._make(this.newest);
    this._copy(1);
  }

  /** Take a picture (ImageBitmap or ImageData, sRGB). `share` of the last newest one is shown just now, and is kept so. */
  take(image, share) {
    const changed = image.width !== this.size[0] || image.height !== this.size[1];
    this.size = [image.width, image.height];
    this.aspect = image.width / image.height;
    if (changed || !this.plates) this._cut();
    else if (share < 1) this._copy(share);
    else this.plates = [this.plates[1], this.plates[0], this.plates[2]];
    this._upload(image);
    this._make(this.newest);
    if (changed) this._copy(1);
  }

  _cut() {
    const { gl } = this;
    const rows = Math.min(Math.max(this._rows, this.size[1]), MAX_SIDE, MAX_SIDE / this.aspect);
    const width = Math.max(Math.round(rows * this.aspect), 1);
    this.plates?.forEach((plate) => plate.free());
    const groundSide = (this._rows > FEW_ROWS ? 4 : 2) * GROUND_SIDE;
    this.plates = [0, 1, 2].map(() => new Plate(gl, width, Math.max(Math.round(rows), 1), groundSide));
    this.sharp?.free();
    this.metric?.free();
    this.sharp = new Target(gl, ...this.size);
    this.metric = new Target(gl, ...this.size);
  }

  /** What is shown, `share` of the newest over the one before, becomes the one before. */
  _copy(share) {
    const [before, newest, spare] = this.plates;
    for (const part of ['picture', 'ground']) {
      this.programs.MIXED.cover(spare[part], { before: before[part], newest: newest[part], share });
    }
    this.plates = [spare, newest, before];
  }

  _upload(image) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.uploaded);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, image);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }

  _make(plate) {
    const { SHARPENED, METRIC, ENLARGED, DECODED, SMALL, SOFT_ROWS, SOFT_PLANE, SMOOTH } = this.programs;
    const { aspect, sharp: source, metric, small, rows, ground } = this;
    SHARPENED.cover(source, { picture: this.uploaded });
    if (plate.picture.height === source.height) DECODED.cover(plate.picture, { source }); // as large as it is shown, or larger
    else {
      METRIC.cover(metric, { source });
      ENLARGED.cover(plate.picture, { source, metric });
    }
    SMALL.cover(small, { source });
    SOFT_ROWS.cover(rows, { small, aspect });
    SOFT_PLANE.cover(ground, { rows, aspect });
    SMOOTH.cover(plate.ground, { ground });
  }
}
