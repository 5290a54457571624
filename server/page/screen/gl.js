/**
 * WebGL 2, as little of it as the screen needs: programs that cover a target, and targets that hold linear light.
 *
 * Colours between passes are linear light (not sRGB), premultiplied by nothing, in half floats. Rows count from the bottom,
 * as WebGL's do; pictures are turned over once, when they are uploaded.
 */

const COVER = `#version 300 es
out vec2 at;
void main() {
  at = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
  gl_Position = vec4(2.0 * at - 1.0, 0.0, 1.0);
}`;

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i; // drawers that are programs

const HEAD = `#version 300 es
precision highp float;
precision highp sampler2D;
in vec2 at;
out vec4 colour;
`;

/** The context of `canvas`, or null where there is no WebGL 2 that can draw into half floats. @param {HTMLCanvasElement} canvas */
export function openContext(canvas) {
  const gl = canvas.getContext('webgl2', { alpha: false, antialias: false, depth: false, preserveDrawingBuffer: false });
  if (!gl || !(gl.getExtension('EXT_color_buffer_float') || gl.getExtension('EXT_color_buffer_half_float'))) return null;
  gl.getExtension('EXT_float_blend');
  gl.disable(gl.DITHER);
  return gl;
}

/** Whether a program draws in a graphics processor's stead. */
export function drawnByProgram(gl) {
  const info = gl.getExtension('WEBGL_debug_renderer_info');
  return SOFTWARE.test(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}

/**
 * The format of targets: half floats, which graphics processors read twice as fast. Where a program draws in their stead it
 * has to convert each of them, and whole floats are three to five times as fast.
 */
function targetFormat(gl) {
  const whole = drawnByProgram(gl) && gl.getExtension('EXT_color_buffer_float') && gl.getExtension('OES_texture_float_linear');
  return whole ? gl.RGBA32F : gl.RGBA16F;
}

function compile(gl, kind, source) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(`a shader does not compile: ${gl.getShaderInfoLog(shader)}`);
  return shader;
}

/** A program. Fragment sources get `at` (0 to 1 over the target) and write `colour`; `vertex` is a whole source of its own. */
export class Program {
  constructor(gl, fragment, vertex = COVER) {
    this.gl = gl;
    this.program = gl.createProgram();
    gl.attachShader(this.program, compile(gl, gl.VERTEX_SHADER, vertex));
    gl.attachShader(this.program, compile(gl, gl.FRAGMENT_SHADER, HEAD + fragment));
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS)) throw new Error(`a program does not link: ${gl.getProgramInfoLog(this.program)}`);
    this.uniforms = new Map();
    for (let i = 0; i < gl.getProgramParameter(this.program, gl.ACTIVE_UNIFORMS); i += 1) {
      const { name, type } = gl.getActiveUniform(this.program, i);
      this.uniforms.set(name.replace('[0]', ''), { type, place: gl.getUniformLocation(this.program, name) });
    }
  }

  /** Set uniforms by name: numbers, arrays of 2 to 4 (or float arrays), Targets and textures. Unknown names are left out. */
  use(values = {}) {
    const { gl } = this;
    gl.useProgram(this.program);
    let unit = 0;
    for (const [name, value] of Object.entries(values)) {
      const uniform = this.uniforms.get(name);
      if (uniform) unit = this._set(uniform, value, unit);
    }
  }

  _set({ type, place }, value, unit) {
    const { gl } = this;
    if (type === gl.SAMPLER_2D) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, value.texture ?? value);
      gl.uniform1i(place, unit);
      return unit + 1;
    }
    if (type === gl.INT || type === gl.BOOL) gl.uniform1i(place, value);
    else if (type === gl.FLOAT) typeof value === 'number' ? gl.uniform1f(place, value) : gl.uniform1fv(place, value);
    else if (type === gl.FLOAT_VEC2) gl.uniform2fv(place, value);
    else if (type === gl.FLOAT_VEC3) gl.uniform3fv(place, value);
    else if (type === gl.FLOAT_VEC4) gl.uniform4fv(place, value);
    return unit;
  }

  /** Cover `target` (null: the canvas) with what this makes of `values`. @param {Target|null} target */
  cover(target, values = {}) {
    const { gl } = this;
    bind(gl, target);
    this.use(values);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}

/** Let what is drawn next go to `target`; null is the canvas. */
export function bind(gl, target) {
  gl.bindFramebuffer(gl.FRAMEBUFFER, target ? target.framebuffer : null);
  gl.viewport(0, 0, target ? target.width : gl.drawingBufferWidth, target ? target.height : gl.drawingBufferHeight);
}

/** A texture of floats that can be drawn into. Begins black. */
export class Target {
  constructor(gl, width, height, { filter = gl.LINEAR } = {}) {
    Object.assign(this, { gl, width, height });
    this.texture = gl.createTexture();
    this.framebuffer = gl.createFramebuffer();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, targetFormat(gl), width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  /** Let go of its memory. */
  free() {
    this.gl.deleteTexture(this.texture);
    this.gl.deleteFramebuffer(this.framebuffer);
  }
}

/** sRGB to linear light and back (IEC 61966-2-1), for fragment sources. */
export const COLOUR_SPACE = `
vec3 toLinear(vec3 c) { return mix(c / 12.92, pow((max(c, vec3(0.0)) + 0.055) / 1.055, vec3(2.4)), step(vec3(0.04045), c)); }
vec3 toSrgb(vec3 c) { c = max(c, vec3(0.0)); return mix(12.92 * c, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), c)); }
`;
