/**
 * Flash limiter: shows a picture as far as it does not flash more often than eyes can bear (WCAG 2.2, 2.3.1).
 *
 * The twin of `clavilux.runtime.output.flash_limiter`, `flash_budget` and `flash_cells`, whose words say what is done and
 * why, with the same numbers under the same names. Everything stays on the graphics processor: values of cells, ages of
 * their turns (never times, which half floats could not hold) and the last shown picture are textures, and nothing is
 * read back. A texture of states has its blocks side by side: two of luminance, two of red, one of how much may be shown of
 * any change (x), and of the saturation of reds, shown as they are (y) and mixed (z).
 */

import { bind, COLOUR_SPACE, Program, Target } from './gl.js';

const LONG_AGO = 60; // s
const URGENT_REST = 5; // s
const WHOLE = 0.999; // share of a change from which a picture counts as shown as it is
const CELL = 4; // pixels
const MAX_CELLS = 96; // cells along the longer side
const TILES = 6; // along each side
const WINDOWS = TILES - 1;
const FAR_CELLS = WINDOWS * WINDOWS + 1; // all windows, and the field
const BLOCKS = 5;
const HELD = 3; // cells round a cell that are held back with it,
const SOFT = 2; // and over so many of them on each side it is let go

/** The rows and columns of cells for a picture. */
export function grid(height, width) {
  const side = Math.max(CELL, Math.ceil(Math.max(height, width) / MAX_CELLS));
  return [Math.max(TILES, Math.ceil(height / side)), Math.max(TILES, Math.ceil(width / side))];
}

/** Passes for a performer's blackout, at most one in URGENT_REST. */
export class Urgency {
  constructor() {
    this._since = LONG_AGO;
    this._was = false;
  }

  /** Whether the picture passes as it is. */
  advance(urgent, seconds) {
    this._since += seconds;
    const begins = urgent && !this._was && this._since >= URGENT_REST;
    this._was = urgent;
    if (begins) this._since = 0;
    return begins;
  }
}

// Rows count from the bottom here and from the top there, so parts of them are rounded up here and down there.
const AT = `
ivec2 here() { return ivec2(gl_FragCoord.xy); }
ivec2 start(ivec2 part, ivec2 size, ivec2 parts) { return (part * size + ivec2(0, parts.y - 1)) / parts; }
`;

// Means over the pixels of a cell: luminance wanted and shown, red wanted and shown, as 8 bits will show it.
const MEASURE = `${COLOUR_SPACE}
uniform sampler2D wanted, shown;
uniform int rows, columns;
const float SATURATED = 4.0, NEARLY = 3.0;
vec2 values(vec3 c) {
  float luminance = dot(c, vec3(0.2126, 0.7152, 0.0722));
  if (c.r <= NEARLY * (c.g + c.b)) return vec2(luminance, 0.0);
  vec3 byte = toLinear(floor(toSrgb(c) * 255.0 + 0.5) / 255.0);
  float others = byte.g + byte.b;
  return vec2(luminance, byte.r >= SATURATED * others ? byte.r - others : 0.0);
}
void main() {
  ivec2 cell = here(), size = textureSize(wanted, 0), cells = ivec2(columns, rows);
  ivec2 first = min(start(cell, size, cells), size - 1), end = max(start(cell + 1, size, cells), first + 1);
  vec2 w = vec2(0.0), s = vec2(0.0);
  for (int y = first.y; y < end.y; y++) for (int x = first.x; x < end.x; x++) {
    w += values(clamp(texelFetch(wanted, ivec2(x, y), 0).rgb, 0.0, 1.0));
    s += values(texelFetch(shown, ivec2(x, y), 0).rgb);
  }
  float area = float((end.x - first.x) * (end.y - first.y));
  colour = vec4(w.x, s.x, w.y, s.y) / area;
}`;

const BUDGET = `
uniform sampler2D state, cells;
uniform int columns;
uniform float seconds;
const float WINDOW = 1.04, CALM = 0.5, SLOWNESS = 0.8, RIPPLE = 0.08, MARGIN = 0.01, RED_WINDOW = 0.94, RED_RIPPLE = 0.04, RETURN = 0.5, LONG_AGO = ${LONG_AGO}.0;
struct Rule { float turn, dark; };
const Rule GENERAL = Rule(0.095, 0.8), RED = Rule(0.05, 2.0);
bool turns(inout float extreme, inout float rising, float value, Rule rule) {
  bool falls = rising > 0.5 && value <= extreme - rule.turn && value < rule.dark;
  bool turned = falls || (rising < 0.5 && value >= extreme + rule.turn);
  if (turned) rising = 1.0 - rising;
  extreme = turned ? value : rising > 0.5 ? max(extreme, value) : min(extreme, value);
  return turned;
}
// side: extreme and direction of what was shown, then of what was wanted; ages: of the last three turns, then the strain.
void remember(inout vec4 side, inout vec4 ages, float shown, Rule rule) {
  ages.xyz = min(ages.xyz + seconds, LONG_AGO);
  if (turns(side.x, side.y, shown, rule)) ages.xyz = vec3(seconds, ages.xy);
}
void tire(inout vec4 side, inout vec4 ages, float wanted, bool tooMany, Rule rule) {
  bool asks = turns(side.z, side.w, wanted, rule);
  ages.w = max(ages.w - seconds / CALM, 0.0);
  if (asks && (tooMany || ages.w > 0.0)) ages.w = 1.0;
}
float pace(vec4 ages) { return ages.w > 0.0 ? 1.0 - exp(-seconds / SLOWNESS / max(ages.w, 1e-3)) : 1.0; }
float share(inout vec4 side, inout vec4 ages, float shown, float wanted) {
  remember(side, ages, shown, GENERAL);
  bool spent = ages.z < WINDOW;
  float low = spent && side.y > 0.5 ? min(side.x - RIPPLE, GENERAL.dark + MARGIN) : -LONG_AGO;
  float high = spent && side.y < 0.5 ? side.x + RIPPLE : LONG_AGO;
  low = min(low, shown);
  high = max(high, shown);
  bool outside = wanted < low || wanted > high;
  tire(side, ages, wanted, outside, GENERAL);
  float within = outside ? (clamp(wanted, low, high) - shown) / (wanted - shown) : 1.0;
  return min(within, pace(ages));
}
// What reds leave: of any change, and of their saturation, shown as they are and mixed.
vec3 reds(inout vec4 side, inout vec4 ages, float shown, float wanted, float kept) {
  remember(side, ages, shown, RED);
  bool full = side.y < 0.5 && ages.y < RED_WINDOW, tooMany = full && wanted > side.x + RED_RIPPLE;
  tire(side, ages, wanted, tooMany, RED);
  kept = tooMany || ages.w > 0.0 ? 0.0 : min(kept + seconds / RETURN, 1.0);
  return vec3(pace(ages), kept, full ? 0.0 : kept);
}
vec4 values(ivec2 cell);
vec4 block(ivec2 cell, int number) { return texelFetch(state, cell + ivec2(number * columns, 0), 0); }
void main() {
  int number = here().x / columns;
  ivec2 cell = here() - ivec2(number * columns, 0);
  vec4 value = values(cell);
  vec4 side = block(cell, 0), ages = block(cell, 1), redSide = block(cell, 2), redAges = block(cell, 3);
  float luminance = share(side, ages, value.y, value.x);
  vec3 red = reds(redSide, redAges, value.w, value.z, block(cell, 4).y);
  colour = number == 0 ? side : number == 1 ? ages : number == 2 ? redSide : number == 3 ? redAges : vec4(min(luminance, red.x), red.yz, 0.0);
}`;

const NEAR = `vec4 values(ivec2 cell) { return texelFetch(cells, cell, 0); }`;

// Windows are two tiles wide, of all tiles but the last of each side; what comes after them is the field.
const FAR = `
vec4 values(ivec2 cell) {
  ivec2 first = cell.x < ${FAR_CELLS - 1} ? ivec2(cell.x % ${WINDOWS}, cell.x / ${WINDOWS}) : ivec2(0);
  int size = cell.x < ${FAR_CELLS - 1} ? 2 : ${TILES};
  vec4 sum = vec4(0.0);
  for (int y = 0; y < size; y++) for (int x = 0; x < size; x++) sum += texelFetch(cells, first + ivec2(x, y), 0);
  return sum / float(size * size);
}`;

const LEAST = `
uniform sampler2D state;
uniform int rows, columns;
void main() {
  vec3 least = vec3(1.0);
  for (int y = -${HELD}; y <= ${HELD}; y++) for (int x = -${HELD}; x <= ${HELD}; x++) {
    ivec2 cell = clamp(here() + ivec2(x, y), ivec2(0), ivec2(columns, rows) - 1);
    least = min(least, texelFetch(state, cell + ivec2(4 * columns, 0), 0).xyz);
  }
  colour = vec4(least, 0.0);
}`;

const SMOOTH = `
uniform sampler2D least;
void main() {
  ivec2 last = textureSize(least, 0) - 1;
  vec3 sum = vec3(0.0);
  for (int y = -${SOFT}; y <= ${SOFT}; y++) for (int x = -${SOFT}; x <= ${SOFT}; x++) sum += texelFetch(least, clamp(here() + ivec2(x, y), ivec2(0), last), 0).xyz;
  colour = vec4(sum / ${(2 * SOFT + 1) ** 2}.0, 0.0);
}`;

// Means over the cells of a tile, of what the cells themselves leave.
const GATHER = `
uniform sampler2D cells, near;
void main() {
  ivec2 size = textureSize(cells, 0), parts = ivec2(${TILES}), first = start(here(), size, parts), end = start(here() + 1, size, parts);
  vec4 sum = vec4(0.0);
  for (int y = first.y; y < end.y; y++) for (int x = first.x; x < end.x; x++) {
    vec4 value = texelFetch(cells, ivec2(x, y), 0);
    vec3 left = texelFetch(near, ivec2(x, y), 0).xyz;
    sum += vec4(mix(value.y, value.x, left.x), value.y, (left.x < ${WHOLE} ? left.z : left.y) * value.z, value.w);
  }
  colour = sum / float((end.x - first.x) * (end.y - first.y));
}`;

const TILED = `
uniform sampler2D state;
vec3 left(int cell) { return texelFetch(state, ivec2(cell + ${4 * FAR_CELLS}, 0), 0).xyz; }
void main() {
  vec3 least = left(${FAR_CELLS - 1});
  for (int y = max(here().y - 2, 0); y <= min(here().y + 1, ${WINDOWS - 1}); y++)
    for (int x = max(here().x - 2, 0); x <= min(here().x + 1, ${WINDOWS - 1}); x++) least = min(least, left(y * ${WINDOWS} + x));
  colour = vec4(least, 0.0);
}`;

const BOTH = `
uniform sampler2D near, tiles;
void main() {
  vec3 left = min(texelFetch(near, here(), 0), texture(tiles, at)).xyz;
  colour = vec4(left.x, left.x < ${WHOLE} ? left.z : left.y, 0.0, 0.0);
}`;

const MIX = `
uniform sampler2D wanted, shown, left;
uniform int open; // 1: to any change, 2: to reds, too
const float CALMED = 0.75;
vec3 calm(vec3 c, float calmness) {
  float luminance = dot(c, vec3(0.2126, 0.7152, 0.0722)), excess = max(c.r - CALMED * (c.r + c.g + c.b), 0.0);
  return c + calmness * excess / max(excess + (3.0 * CALMED - 1.0) * luminance, 1e-9) * (luminance - c);
}
void main() {
  vec3 next = clamp(texelFetch(wanted, here(), 0).rgb, 0.0, 1.0);
  vec2 may = open == 2 ? vec2(1.0) : max(texture(left, at).xy, vec2(float(open), 0.0));
  if (may.x < 1.0) next = mix(texelFetch(shown, here(), 0).rgb, next, may.x);
  colour = vec4(may.y < 1.0 ? calm(next, 1.0 - may.y) : next, 1.0);
}`;

const COPY = `uniform sampler2D source; void main() { colour = texture(source, at); }`;
const ENCODE = `${COLOUR_SPACE}uniform sampler2D source; void main() { colour = vec4(toSrgb(texture(source, at).rgb), 1.0); }`;

/** A texture of numbers: whole floats where they can be drawn into, else halves. */
class Numbers {
  constructor(gl, width, height) {
    Object.assign(this, { gl, width, height, texture: gl.createTexture(), framebuffer: gl.createFramebuffer() });
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.getExtension('EXT_color_buffer_float') ? gl.RGBA32F : gl.RGBA16F, width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    bind(gl, this);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  free() {
    this.gl.deleteTexture(this.texture);
    this.gl.deleteFramebuffer(this.framebuffer);
  }
}

/** Limits what one canvas shows. */
export class FlashLimiter {
  constructor(gl) {
    this.gl = gl;
    const sources = { measure: MEASURE, near: BUDGET + NEAR, far: BUDGET + FAR, least: LEAST, smooth: SMOOTH, gather: GATHER };
    Object.assign(sources, { tiled: TILED, both: BOTH, mix: MIX, copy: COPY, encode: ENCODE });
    this._programs = Object.fromEntries(Object.entries(sources).map(([name, source]) => [name, new Program(gl, AT + source)]));
    this._gathered = new Numbers(gl, TILES, TILES);
    this._tiles = new Target(gl, TILES, TILES);
    this._far = [new Numbers(gl, BLOCKS * FAR_CELLS, 1), new Numbers(gl, BLOCKS * FAR_CELLS, 1)];
    this._urgency = new Urgency();
    this._own = {};
    this._then = null; // ms, when the last picture was shown
  }

  /** Work at this size from now on; what was shown and counted is taken along. */
  resize(width, height) {
    const { gl, _own: old } = this;
    if (old.width === width && old.height === height) return;
    const [rows, columns] = grid(height, width);
    const pair = (make) => [make(), make()];
    this._own = { width, height, rows, columns };
    this._own.shown = pair(() => new Target(gl, width, height));
    this._own.near = pair(() => new Numbers(gl, BLOCKS * columns, rows));
    this._own.cells = [new Numbers(gl, columns, rows)];
    this._own.maps = [1, 2, 3].map(() => new Target(gl, columns, rows));
    for (const kept of old.shown ? ['shown', 'near'] : []) this._programs.copy.cover(this._own[kept][0], { source: old[kept][0] });
    this._free(old);
  }

  /**
   * Show what may be shown of `input`, linear light at the size given to `resize`, as sRGB on `output` (null: the canvas).
   *
   * `urgent` is true while a performer wants black: its beginning is shown at once, also just after flashes, but not again
   * within URGENT_REST. Not `enabled`, everything is shown, and counted.
   */
  limit(input, output, now, enabled = true, urgent = false) {
    const seconds = this._then === null ? LONG_AGO : Math.max(now - this._then, 0) / 1000;
    this._then = now;
    const black = this._urgency.advance(urgent, seconds);
    const open = !enabled ? 2 : black ? 1 : 0;
    const { shown } = this._own;
    const left = this._left(input, seconds);
    this._programs.mix.cover(shown[1], { wanted: input, shown: shown[0], left, open });
    shown.reverse();
    this._programs.encode.cover(output, { source: shown[0] });
  }

  /** How much each cell may show of what the screen wants, as a target to be interpolated. */
  _left(input, seconds) {
    const { _programs: run, _far: far, _gathered: gathered, _tiles: tiles } = this;
    const { rows, columns, shown, near, cells: [cells], maps: [least, smooth, left] } = this._own;
    run.measure.cover(cells, { wanted: input, shown: shown[0], rows, columns });
    run.near.cover(near[1], { state: near[0], cells, columns, seconds });
    near.reverse();
    run.least.cover(least, { state: near[0], rows, columns });
    run.smooth.cover(smooth, { least });
    run.gather.cover(gathered, { cells, near: smooth });
    run.far.cover(far[1], { state: far[0], cells: gathered, columns: FAR_CELLS, seconds });
    far.reverse();
    run.tiled.cover(tiles, { state: far[0] });
    run.both.cover(left, { near: smooth, tiles });
    return left;
  }

  _free({ shown = [], near = [], cells = [], maps = [] }) {
    for (const one of [...shown, ...near, ...cells, ...maps]) one.free();
  }
}
