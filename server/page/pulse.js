/**
 * Pulse: what is heard now, a hundred readings a second; the same numbers as `clavilux.runtime.hearing.pulse` gives.
 *
 * No dependencies and no browser: it works in an AudioWorklet, in the page and in Node.js. Each part bears the name of
 * its twin in Python, where methods and their sources are explained; constants are the same and in the same order.
 */

const SAMPLE_RATE = 16000; // Hz
const PULSE_RATE = 100; // readings a second
const PULSE_STEP = 160; // samples
const SILENCE_DB = -120;

const clip = (value, low, high) => Math.min(high, Math.max(low, value));
const ramp = (value, low, high) => clip((value - low) / (high - low), 0, 1);
const left = (seconds) => Math.exp(-1 / (seconds * PULSE_RATE)); // of a value after one reading
const wrapped = (phase) => phase - Math.floor(phase + 0.5);
const modulo = (value, by) => value - by * Math.floor(value / by);

/** Spectrum of real numbers, by a complex transform of half the size (radix 2). */
class RealFft {
  constructor(size) {
    this.size = size;
    const half = (this.half = size / 2);
    this.real = new Float64Array(half + 1);
    this.imaginary = new Float64Array(half + 1);
    this.cosines = Float64Array.from({ length: half }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sines = Float64Array.from({ length: half }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    this.order = new Uint32Array(half);
    for (let k = 1, bits = Math.log2(half); k < half; k += 1) {
      this.order[k] = (this.order[k >> 1] >> 1) | ((k & 1) << (bits - 1));
    }
  }

  /** Take [size] numbers; `real` and `imaginary` hold bins 0 to size / 2 afterwards. */
  transform(input) {
    const { half, real, imaginary, order } = this;
    for (let k = 0; k < half; k += 1) {
      real[k] = input[2 * order[k]];
      imaginary[k] = input[2 * order[k] + 1];
    }
    for (let span = 1; span < half; span *= 2) this.#butterflies(span);
    this.#unpack();
  }

  #butterflies(span) {
    const { half, real, imaginary, cosines, sines } = this;
    const stride = half / span;
    for (let offset = 0; offset < span; offset += 1) {
      const cosine = cosines[offset * stride];
      const sine = -sines[offset * stride];
      for (let k = offset; k < half; k += 2 * span) {
        const other = k + span;
        const re = real[other] * cosine - imaginary[other] * sine;
        const im = real[other] * sine + imaginary[other] * cosine;
        real[other] = real[k] - re;
        imaginary[other] = imaginary[k] - im;
        real[k] += re;
        imaginary[k] += im;
      }
    }
  }

  #unpack() {
    const { half, real, imaginary, cosines, sines } = this;
    const [first, second] = [real[0], imaginary[0]];
    for (let k = 1; k <= half / 2; k += 1) {
      const mirror = half - k;
      const evenRe = (real[k] + real[mirror]) / 2;
      const evenIm = (imaginary[k] - imaginary[mirror]) / 2;
      const oddRe = (imaginary[k] + imaginary[mirror]) / 2;
      const oddIm = (real[mirror] - real[k]) / 2;
      const re = oddRe * cosines[k] + oddIm * sines[k];
      const im = oddIm * cosines[k] - oddRe * sines[k];
      real[k] = evenRe + re;
      imaginary[k] = evenIm + im;
      real[mirror] = evenRe - re;
      imaginary[mirror] = im - evenIm;
    }
    real[0] = first + second;
    real[half] = first - second;
    imaginary[0] = imaginary[half] = 0;
  }
}

// Resampler: runtime/sound/resample.py

const BLOCK_RATE = 100;
const [PASS, STOP] = [0.4625, 0.5375];
const STOPBAND = 90;
const FILTERS = 2048;

function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > sum * 1e-17; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** Filters for outputs at 0, 1 / phases, ... 1 input samples after their place, each summing to 1. */
function filterBank(rate, phases) {
  const lower = Math.min(rate, SAMPLE_RATE) / rate;
  const width = 2 * Math.PI * (STOP - PASS) * lower;
  const reach = Math.ceil((STOPBAND - 8) / (2.285 * width) / 2) + 1;
  const beta = 0.1102 * (STOPBAND - 8.7);
  const cutoff = (PASS + STOP) * lower;
  const whole = bessel(beta);
  return Array.from({ length: phases + 1 }, (_, phase) => {
    const filter = Float64Array.from({ length: 2 * reach }, (_unused, k) => {
      const away = 1 - reach + k - phase / phases;
      const turn = Math.PI * cutoff * away;
      const window = bessel(beta * Math.sqrt(Math.max(0, 1 - (away / reach) ** 2))) / whole;
      return cutoff * (turn === 0 ? 1 : Math.sin(turn) / turn) * window;
    });
    const sum = filter.reduce((total, one) => total + one, 0);
    return Float32Array.from(filter, (one) => one / sum);
  });
}

function greatestCommonDivisor(one, other) {
  return other ? greatestCommonDivisor(other, one % other) : one;
}

function joined(one, other) {
  const both = new Float32Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** One source's way to 16 kHz mono. */
export class Resampler {
  #rest = new Float32Array(0);
  #made = 0;

  constructor(rate) {
    this.rate = rate;
    this.block = Math.floor(rate / BLOCK_RATE);
    const common = greatestCommonDivisor(rate, SAMPLE_RATE);
    this.up = SAMPLE_RATE / common;
    this.down = rate / common;
    if (rate === SAMPLE_RATE) return;
    this.bank = filterBank(rate, Math.min(this.up, FILTERS));
    this.reach = this.bank[0].length / 2;
    this.kept = new Float32Array(this.reach - 1);
    this.first = 1 - this.reach;
  }

  /** Take mono samples; return those at 16 kHz that became ready. */
  push(mono) {
    const waiting = joined(this.#rest, mono);
    const whole = Math.floor(waiting.length / this.block) * this.block;
    this.#rest = waiting.slice(whole);
    let ready = new Float32Array(0);
    for (let start = 0; start < whole; start += this.block) {
      ready = joined(ready, this.#take(waiting.subarray(start, start + this.block)));
    }
    return ready;
  }

  #take(block) {
    if (this.rate === SAMPLE_RATE) return block;
    this.kept = joined(this.kept, block);
    const newest = this.first + this.kept.length - 1 - this.reach;
    return this.#filtered(newest >= 0 ? Math.floor((newest * this.up + this.up - 1) / this.down) + 1 : 0);
  }

  #filtered(until) {
    const made = new Float32Array(Math.max(0, until - this.#made));
    if (!made.length) return made;
    for (let n = 0; n < made.length; n += 1) {
      const place = Math.floor(((this.#made + n) * this.down) / this.up);
      const phase = (this.#made + n) * this.down - place * this.up;
      made[n] = this.#weighed(place - this.first - this.reach + 1, phase);
    }
    this.#made += made.length;
    const needed = Math.floor((this.#made * this.down) / this.up) - this.reach + 1;
    this.kept = this.kept.slice(needed - this.first);
    this.first = needed;
    return made;
  }

  #weighed(start, phase) {
    if (this.up <= FILTERS) return this.#sum(start, this.bank[phase]);
    const place = phase * (FILTERS / this.up);
    const low = Math.floor(place);
    const share = place - low;
    return (1 - share) * this.#sum(start, this.bank[low]) + share * this.#sum(start, this.bank[low + 1]);
  }

  #sum(start, filter) {
    let sum = 0;
    for (let k = 0; k < filter.length; k += 1) sum += filter[k] * this.kept[start + k];
    return sum;
  }
}

// Steps: spectrum.py

const WINDOW = 512;
const RISE = 416;
const BINS = WINDOW / 2 + 1;
const BIN_HZ = SAMPLE_RATE / WINDOW;
const HISTORY = 1024;
const WEIGHTS = Float64Array.from({ length: WINDOW }, (_, k) =>
  k < RISE
    ? Math.sin(((Math.PI / 2) * (k + 0.5)) / RISE) ** 2
    : Math.cos(((Math.PI / 2) * (k - RISE + 0.5)) / (WINDOW - RISE)) ** 2,
);
const WEIGHT = WEIGHTS.reduce((sum, one) => sum + one, 0);
const SCALE = 2 / (WINDOW * WEIGHTS.reduce((sum, one) => sum + one * one, 0));

/** Spectra of a stream, one each 10 ms, however its samples come. */
class Steps {
  #history = new Float64Array(HISTORY);
  #rest = new Float32Array(0);
  #fft = new RealFft(WINDOW);
  #weighed = new Float64Array(WINDOW);
  #power = new Float64Array(BINS);

  /** Call `told` with the power of each bin and the newest samples, for each step that became whole. */
  push(samples, told) {
    const waiting = joined(this.#rest, samples);
    let start = 0;
    for (; start + PULSE_STEP <= waiting.length; start += PULSE_STEP) {
      this.#history.copyWithin(0, PULSE_STEP);
      this.#history.set(waiting.subarray(start, start + PULSE_STEP), HISTORY - PULSE_STEP);
      told(this.#spectrum(), this.#history);
    }
    this.#rest = waiting.slice(start);
  }

  #spectrum() {
    const newest = this.#history.subarray(HISTORY - WINDOW);
    let mean = 0;
    for (let k = 0; k < WINDOW; k += 1) mean += newest[k] * WEIGHTS[k];
    mean /= WEIGHT;
    for (let k = 0; k < WINDOW; k += 1) this.#weighed[k] = (newest[k] - mean) * WEIGHTS[k];
    this.#fft.transform(this.#weighed);
    const { real, imaginary } = this.#fft;
    for (let k = 0; k < BINS; k += 1) this.#power[k] = (real[k] ** 2 + imaginary[k] ** 2) * SCALE;
    this.#power[BINS - 1] /= 2;
    return this.#power;
  }
}

// Automatic range and bands: automatic_range.py, bands.py

const ATTACK = 1 - 0.5 ** (1 / (0.3 * PULSE_RATE));
const RANGE_RELEASE = 0.4 / PULSE_RATE;
const FLOOR_RISE = 3 / PULSE_RATE;
const FLOOR_FALL = 1 - 0.5 ** (1 / (0.05 * PULSE_RATE));
const MIN_CEILING = 40;
const MIN_FLOOR = -90;
const NOISE_MARGIN = 6;
const LOUDEST_NOISE = -45;
const [NARROW, WIDE] = [24, 36];

class AutomaticRange {
  constructor(reference, share) {
    this.reference = reference;
    this.share = share;
    this.ceiling = reference;
    this.noise = MIN_FLOOR;
  }

  push(decibels) {
    const { reference, share } = this;
    const top = Math.max(reference + share * (this.ceiling - reference), Math.min(this.ceiling, decibels));
    const wide = top - WIDE;
    const floor = Math.min(Math.max(this.noise + NOISE_MARGIN, wide), top - NARROW, Math.max(LOUDEST_NOISE, wide));
    this.#follow(decibels, floor);
    return ramp(decibels, floor, top);
  }

  #follow(decibels, floor) {
    if (decibels > this.ceiling) this.ceiling += ATTACK * (decibels - this.ceiling);
    else if (decibels > floor) {
      this.ceiling = Math.max(this.ceiling - RANGE_RELEASE, decibels, this.reference - MIN_CEILING);
    }
    const heard = Math.max(MIN_FLOOR, decibels);
    if (heard < this.noise) this.noise += FLOOR_FALL * (heard - this.noise);
    else this.noise = Math.min(heard, this.noise + FLOOR_RISE);
  }
}

const EDGES = [1, Math.ceil(200 / BIN_HZ), Math.ceil(2000 / BIN_HZ), BINS];
const RELEASE = left(0.04);
const SILENT_POWER = 10 ** (SILENCE_DB / 10);
const MASKED = 1e-8;
const [WHOLE_SHARE, BAND_SHARE] = [0.3, 0.5];
const REFERENCES = [-12, -20, -18, -30];

const inDecibels = (power) => Math.min(0, 10 * Math.log10(Math.max(power, SILENT_POWER)));

class Bands {
  #ranges = REFERENCES.map((one, index) => new AutomaticRange(one, index ? BAND_SHARE : WHOLE_SHARE));
  #held = [0, 0, 0, 0];

  /** Return the levels and the decibels of the whole sound, low, mid and high. */
  push(power) {
    const powers = [0, 0, 0, 0];
    for (let band = 1; band < 4; band += 1) {
      for (let k = EDGES[band - 1]; k < EDGES[band]; k += 1) powers[band] += power[k];
    }
    const whole = (powers[0] = powers[1] + powers[2] + powers[3]);
    for (let band = 1; band < 4; band += 1) powers[band] += MASKED * whole;
    this.#held = this.#held.map((held, index) => Math.max(powers[index], RELEASE * held));
    const levels = this.#ranges.map((range, index) => range.push(inDecibels(this.#held[index])));
    return { levels, decibels: powers.map(inDecibels) };
  }
}

// Filters: filters.py

const [MIN_HZ, MAX_HZ] = [40, 7200];
const PER_OCTAVE = 5;

function middles() {
  const steps = Math.floor(PER_OCTAVE * Math.log2(MAX_HZ / MIN_HZ)) + 1;
  const bins = new Set();
  for (let step = 0; step < steps; step += 1) {
    bins.add(Math.floor((MIN_HZ * 2 ** (step / PER_OCTAVE)) / BIN_HZ + 0.5));
  }
  bins.delete(0);
  return [0, ...[...bins].sort((a, b) => a - b), Math.floor((MAX_HZ * 2 ** (1 / PER_OCTAVE)) / BIN_HZ + 0.5)];
}

const MIDDLES = middles();
const COUNT = MIDDLES.length - 2;
const FILTER_BANK = Array.from({ length: COUNT }, (_, row) => {
  const [low, mid, high] = MIDDLES.slice(row, row + 3);
  const last = Math.min(high, BINS);
  const weights = Float64Array.from({ length: last - low }, (_unused, k) =>
    Math.max(0, Math.min(k / (mid - low), (high - low - k) / (high - mid))),
  );
  return { low, weights, width: weights.reduce((sum, one) => sum + one, 0) };
});

function filtered(power, bands) {
  for (let row = 0; row < COUNT; row += 1) {
    const { low, weights } = FILTER_BANK[row];
    let sum = 0;
    for (let k = 0; k < weights.length; k += 1) sum += weights[k] * power[low + k];
    bands[row] = sum;
  }
}

// Timbre: timbre.py

const DARK_HZ = 100;
const OCTAVES_OF_BRIGHTNESS = Math.log2(8000 / DARK_HZ);
const TONE_DB = 40;
const AUDIBLE_DB = -70;
const SETTLE_TIMBRE = 1 - left(0.03);
const AVERAGE = 1 - left(0.06);
const MIN_POWER = 1e-14;

class Timbre {
  brightness = 0;
  noisiness = 0;
  #average = new Float64Array(COUNT);

  push(power, bands, levelDb) {
    for (let k = 0; k < COUNT; k += 1) this.#average[k] += AVERAGE * (bands[k] - this.#average[k]);
    if (levelDb <= AUDIBLE_DB) return;
    this.brightness += SETTLE_TIMBRE * (this.#middle(power) - this.brightness);
    this.noisiness += SETTLE_TIMBRE * (this.#flatness() - this.noisiness);
  }

  #middle(power) {
    let [sum, weighed] = [0, 0];
    for (let k = 0; k < BINS; k += 1) {
      const magnitude = Math.sqrt(power[k]);
      sum += magnitude;
      weighed += magnitude * k * BIN_HZ;
    }
    return clip(Math.log2(Math.max(weighed / sum, DARK_HZ) / DARK_HZ) / OCTAVES_OF_BRIGHTNESS, 0, 1);
  }

  #flatness() {
    let [logarithms, sum] = [0, 0];
    for (let k = 0; k < COUNT; k += 1) {
      const density = Math.max(this.#average[k], MIN_POWER) / FILTER_BANK[k].width;
      logarithms += Math.log10(density);
      sum += density;
    }
    const flatness = (10 * logarithms) / COUNT - 10 * Math.log10(sum / COUNT);
    return clip(1 + flatness / TONE_DB, 0, 1);
  }
}

// Pitch: pitch.py

const FINER = 2;
const MAX_PITCH_PERIOD = 340;
const MIN_PITCH_PERIOD = 2;
const CLEAR = 0.9;
const MIN_PITCH_HZ = 55;
const PITCH_OCTAVES = 6;
const C_HZ = 440 * 2 ** (-9 / 12);
const [NOISY, HARMONIC] = [0.3, 1];
const [DOUBTFUL, CERTAIN] = [0.6, 0.92];
const TRUSTED = 0.4;
const AUDIBLE = 1e-7;
const EVERY = 2;
const LAGS = MAX_PITCH_PERIOD * FINER + 2;

class Pitch {
  harmonicity = 0;
  pitchClass = 0;
  height = 0;
  confidence = 0;
  #recent = [];
  #turn = 0;
  #forward = new RealFft(2 * HISTORY);
  #back = new RealFft(2 * FINER * HISTORY);
  #padded = new Float64Array(2 * HISTORY);
  #powers = new Float64Array(2 * FINER * HISTORY);
  #sums = new Float64Array(HISTORY + 1);
  #alike = new Float64Array(LAGS);

  push(history) {
    this.#turn = (this.#turn + 1) % EVERY;
    if (this.#turn) return;
    const [hertz, correlation] = this.#fundamental(history);
    this.harmonicity = ramp(correlation, NOISY, HARMONIC);
    this.confidence = ramp(correlation, DOUBTFUL, CERTAIN);
    if (this.confidence < TRUSTED) {
      this.#recent = [];
      return;
    }
    this.#recent = [...this.#recent.slice(-2), hertz];
    const middle = [...this.#recent].sort((a, b) => a - b)[Math.floor(this.#recent.length / 2)];
    this.pitchClass = modulo(Math.log2(middle / C_HZ), 1);
    this.height = clip(Math.log2(middle / MIN_PITCH_HZ) / PITCH_OCTAVES, 0, 1);
  }

  #fundamental(history) {
    let mean = 0;
    for (let k = 0; k < HISTORY; k += 1) mean += history[k];
    mean /= HISTORY;
    for (let k = 0; k < HISTORY; k += 1) {
      this.#padded[k] = history[k] - mean;
      this.#sums[k + 1] = this.#sums[k] + this.#padded[k] ** 2;
    }
    if (this.#sums[HISTORY] / HISTORY < AUDIBLE) return [0, 0];
    this.#correlate();
    return this.#chosen(this.#maxima());
  }

  #correlate() {
    const size = this.#back.size;
    this.#forward.transform(this.#padded);
    for (let k = 0; k <= HISTORY; k += 1) {
      const power = this.#forward.real[k] ** 2 + this.#forward.imaginary[k] ** 2;
      this.#powers[k] = power;
      if (k) this.#powers[size - k] = power;
    }
    this.#back.transform(this.#powers);
    const sums = this.#sums;
    const ends = (lag) => sums[HISTORY] - sums[lag] + sums[HISTORY - lag];
    for (let lag = 0; lag < LAGS; lag += 1) {
      const whole = Math.floor(lag / FINER);
      const part = (lag % FINER) / FINER;
      const energy = ends(whole) * (1 - part) + ends(whole + 1) * part;
      this.#alike[lag] = (2 * ((this.#back.real[lag] / size) * FINER)) / Math.max(energy, 1e-12);
    }
  }

  #maxima() {
    const alike = this.#alike;
    const found = [];
    let lag = alike.findIndex((one) => one < 0);
    if (lag < 0) return found;
    for (lag = Math.max(lag, MIN_PITCH_PERIOD * FINER); lag < LAGS - 1; lag += 1) {
      const middle = alike[lag];
      if (middle > alike[lag - 1] && middle >= alike[lag + 1] && middle > 0) found.push(this.#vertex(lag));
    }
    return found;
  }

  #vertex(lag) {
    const [before, middle, after] = this.#alike.subarray(lag - 1, lag + 2);
    const slope = (after - before) / 2;
    const bend = Math.max(2 * middle - before - after, 1e-12);
    return { period: (lag + slope / bend) / FINER, height: middle + slope ** 2 / (2 * bend) };
  }

  #chosen(maxima) {
    if (!maxima.length) return [0, 0];
    const highest = Math.max(...maxima.map((one) => one.height));
    const { period, height } = maxima.find((one) => one.height >= CLEAR * highest);
    return [SAMPLE_RATE / period, Math.min(1, height)];
  }
}

// Onsets: onset.py

const ONSET_GAIN = 1e4;
const BEAT_GAIN = 1e3;
const LAG = 2;
const LOW_BANDS = MIDDLES.slice(1, -1).filter((bin) => bin * BIN_HZ < 200).length;
const DEEP_SHARE = 3;
const MEAN_SHARE = 1 - left(0.15);
const ONSET_PEAK_LEFT = left(2);
const LEAST = 0.14;
const OF_PEAK = 0.05;
const PAUSE = 5;
const STRONG = 0.5;
const DENSITY_SECONDS = 2;
const DENSE = 10;
const DENSITY_LEFT = left(DENSITY_SECONDS);

class Flux {
  whole = 0; // mean growth of the bands
  deep = 0; // that of the deep ones
  #past = Array.from({ length: LAG }, () => new Float64Array(COUNT));
  #loud = new Float64Array(COUNT);

  constructor(gain) {
    this.gain = gain;
  }

  push(magnitude) {
    const loud = this.#loud;
    const oldest = this.#past.shift();
    let [sum, deep] = [0, 0];
    for (let k = 0; k < COUNT; k += 1) {
      loud[k] = Math.log1p(this.gain * magnitude[k]);
      const growth = Math.max(0, loud[k] - oldest[k]);
      sum += growth;
      if (k < LOW_BANDS) deep += growth;
    }
    for (let k = 0; k < COUNT; k += 1) {
      oldest[k] = Math.max(loud[Math.max(0, k - 1)], loud[k], loud[Math.min(COUNT - 1, k + 1)]);
    }
    this.#past.push(oldest);
    this.whole = sum / COUNT;
    this.deep = deep / LOW_BANDS;
  }
}

class Onsets {
  density = 0;
  #mean = 0;
  #peak = 0;
  #since = PAUSE;

  push(flux) {
    const threshold = Math.max(LEAST + this.#mean, OF_PEAK * this.#peak);
    this.#mean += MEAN_SHARE * (flux - this.#mean);
    this.#peak = Math.max(flux, ONSET_PEAK_LEFT * this.#peak);
    this.#since += 1;
    this.density *= DENSITY_LEFT;
    if (flux <= threshold || this.#since < PAUSE) return 0;
    this.#since = 0;
    this.density = Math.min(1, this.density + 1 / (DENSITY_SECONDS * DENSE));
    return Math.tanh(flux / STRONG);
  }
}

// The beat: beat_model.py, beat_clock.py, beat.py

const [MAX_TEMPO, MIN_TEMPO] = [215, 55];
const MIN_PERIOD = Math.round((60 * PULSE_RATE) / MAX_TEMPO);
const MAX_PERIOD = Math.round((60 * PULSE_RATE) / MIN_TEMPO);
const PERIODS = Array.from({ length: MAX_PERIOD - MIN_PERIOD + 1 }, (_, k) => MIN_PERIOD + k);
const USUAL = (60 * PULSE_RATE) / 115;
const SPREAD = 0.3;
const PREFERENCE = 0.01;
const STEADY = 90;
const ANEW = 1e-5;
const PLACES = [0, 0.5, 0.75, 0.25, 2 / 3, 1 / 3];
const NOTES = [0.85, 0.4, 0.2, 0.06, 0.1, 0.04];
const ELSEWHERE = 0.03;
const ZONE = 4;
const [SLOW_FROM, SLOW_TO] = [52, 80];
const REACH_PERIOD = 0.06;
const REACH_PHASE = 0.12;
const LEAST_MASS = 1e-9;
const TAP_PHASE = 0.06;
const TAP_PERIOD = 0.03;
const TAP_DOUBT = 1e-4;

const FIRST = PERIODS.map((_, row) => PERIODS.slice(0, row).reduce((sum, one) => sum + one, 0));
const LAST = FIRST.map((first, row) => first + PERIODS[row] - 1);
const STATES = LAST[LAST.length - 1] + 1;
const PERIOD_OF = Float64Array.from(PERIODS.flatMap((period) => Array(period).fill(period)));
const PHASE_OF = Float64Array.from(PERIODS.flatMap((period) => Array.from({ length: period }, (_, k) => k / period)));

function normalised(weights) {
  const sum = weights.reduce((total, one) => total + one, 0);
  return weights.map((one) => one / sum);
}

const octaves = (period) => Math.log2(period / USUAL);
const PRIOR = normalised(PERIOD_OF.map((period) => Math.exp(-0.5 * (octaves(period) / SPREAD) ** 2) / period));
const SILENT = PERIOD_OF.map((period) => Math.exp(-PREFERENCE * octaves(period) ** 2));
const CHANGES = (() => {
  const columns = PERIODS.map((from) => normalised(PERIODS.map((to) => Math.exp(-STEADY * Math.abs(to / from - 1)))));
  return PERIODS.map((_, to) => Float64Array.from(PERIODS, (_unused, from) => columns[from][to]));
})();
const isAt = (state, place) => Math.abs(wrapped(PHASE_OF[state] - place)) * PERIOD_OF[state] < ZONE / 2;
const EXPECTED = SILENT.map((weight, state) => {
  const place = PLACES.findIndex((one) => isAt(state, one));
  return weight * (place < 0 ? ELSEWHERE : NOTES[place]);
});
const UNACCENTED = EXPECTED.map((expected, state) =>
  isAt(state, 0) ? 0 : expected * ramp(PERIOD_OF[state], SLOW_FROM, SLOW_TO),
);

class BeatModel {
  #probability = PRIOR.slice();
  #moved = new Float64Array(STATES);
  #lasts = new Float64Array(PERIODS.length);

  move(steady) {
    const [before, after, lasts] = [this.#probability, this.#moved, this.#lasts];
    for (let row = 0; row < lasts.length; row += 1) lasts[row] = before[LAST[row]];
    after.set(before.subarray(0, STATES - 1), 1);
    for (let row = 0; row < lasts.length; row += 1) after[FIRST[row]] = steady ? lasts[row] : this.#arrived(row);
    this.#probability = after;
    this.#moved = before;
  }

  #arrived(row) {
    const changes = CHANGES[row];
    let sum = 0;
    for (let from = 0; from < changes.length; from += 1) sum += changes[from] * this.#lasts[from];
    return sum;
  }

  observe(ratio, accent) {
    const probability = this.#probability;
    let sum = 0;
    for (let state = 0; state < STATES; state += 1) {
      probability[state] *= SILENT[state] + EXPECTED[state] * (ratio - 1) - UNACCENTED[state] * accent;
      sum += probability[state];
    }
    const scale = (1 - ANEW) / sum;
    for (let state = 0; state < STATES; state += 1) {
      probability[state] = probability[state] * scale + ANEW * PRIOR[state];
    }
  }

  expect(ago, period) {
    const weighed = this.#probability.map((probability, state) => {
      const away = wrapped(PHASE_OF[state] - ago / PERIOD_OF[state]) / TAP_PHASE;
      const other = period ? (PERIOD_OF[state] / period - 1) / TAP_PERIOD : 0;
      const tempo = period ? TAP_DOUBT + Math.exp(-0.5 * other ** 2) : 1;
      return probability * (TAP_DOUBT + Math.exp(-0.5 * away ** 2)) * tempo;
    });
    this.#probability = normalised(weighed);
  }

  forget() {
    this.#probability.set(PRIOR);
  }

  likeliest() {
    const probability = this.#probability;
    let best = 0;
    for (let state = 1; state < STATES; state += 1) if (probability[state] > probability[best]) best = state;
    return this.around(PERIOD_OF[best], PHASE_OF[best]);
  }

  around(period, phase) {
    const low = Math.max(0, Math.ceil(period * (1 - REACH_PERIOD)) - MIN_PERIOD);
    const high = Math.min(PERIODS.length, Math.floor(period * (1 + REACH_PERIOD)) + 1 - MIN_PERIOD);
    let [mass, periods, offsets] = [0, 0, 0];
    for (let state = FIRST[low]; state <= LAST[high - 1]; state += 1) {
      const away = wrapped(PHASE_OF[state] - phase);
      if (Math.abs(away) >= REACH_PHASE) continue;
      const near = this.#probability[state];
      mass += near;
      periods += near * PERIOD_OF[state];
      offsets += near * away;
    }
    if (mass < LEAST_MASS) return { mass: 0, period, phase };
    return { mass, period: periods / mass, phase: phase + offsets / mass };
  }
}

const LATE = 2;
const KNOWN = 0.25;
const LOST = 0.08;
const SETTLE = 0.05;
const [FOLLOW_PHASE, FOLLOW_PERIOD] = [0.08, 0.06];
const MAX_STEP_BACK = 0.4;
const BETTER = 6;
const PATIENCE = 20;

class BeatClock {
  period = 0;
  phase = 0;
  certainty = 0;
  #doubted = 0;

  move(model) {
    const best = model.likeliest();
    if (!this.period) {
      this.certainty += SETTLE * (best.mass - this.certainty);
      if (this.certainty > KNOWN) this.#take(best);
      return;
    }
    this.phase += 1 / this.period;
    const own = model.around(this.period, modulo(this.phase - LATE / this.period, 1));
    this.certainty += SETTLE * (own.mass - this.certainty);
    this.#doubted = own.mass * BETTER < best.mass ? this.#doubted + 1 : 0;
    if (this.#doubted > PATIENCE) this.#take(best);
    else if (!this.#doubted) this.#follow(own);
    this.phase = modulo(this.phase, 1);
    if (this.certainty < LOST) this.stop();
  }

  set(period, phase) {
    this.period = period;
    this.phase = modulo(phase, 1);
    this.#doubted = 0;
    this.certainty = Math.max(this.certainty, KNOWN);
  }

  stop() {
    this.period = this.phase = this.certainty = this.#doubted = 0;
  }

  get tempo() {
    return this.period ? (60 * PULSE_RATE) / this.period : 0;
  }

  get next() {
    return ((1 - this.phase) * this.period) / PULSE_RATE;
  }

  #take(beat) {
    this.period = beat.period;
    this.#doubted = 0;
    this.phase = modulo(beat.phase + LATE / beat.period, 1);
  }

  #follow(beat) {
    this.period += FOLLOW_PERIOD * (beat.period - this.period);
    const error = wrapped(beat.phase + LATE / this.period - this.phase);
    this.phase += Math.max(-MAX_STEP_BACK / this.period, FOLLOW_PHASE * error);
  }
}

const BEAT_PEAK_LEFT = left(4);
const LEAST_PEAK = 0.15;
const [NO_NOTE, NOTE] = [0.5, 30];
const MUCH = 0.36;
const ACCENT = 0.7;
const SOUNDS = 0.3;
const BREAK = Math.round(1.6 * PULSE_RATE);
const SILENT_AFTER = Math.round(8 * PULSE_RATE);
const TAPS = 4;
const TAPS_WITHIN = Math.round(1.5 * PULSE_RATE);
const UNEVEN = 0.2;

function tappedPeriod(taps) {
  const intervals = taps.slice(1).map((tap, index) => tap - taps[index]);
  if (intervals.length < 2) return 0;
  const mean = (taps[taps.length - 1] - taps[0]) / intervals.length;
  const even = intervals.every((one) => Math.abs(one - mean) <= UNEVEN * mean);
  return even && MIN_PERIOD <= mean && mean <= MAX_PERIOD ? mean : 0;
}

class BeatTracker {
  clock = new BeatClock();
  #model = new BeatModel();
  #peak = LEAST_PEAK;
  #quiet = SILENT_AFTER;
  #taps = [];

  get confidence() {
    return this.clock.certainty * clip((SILENT_AFTER - this.#quiet) / (SILENT_AFTER - BREAK), 0, 1);
  }

  push(flux) {
    this.#peak = Math.max(flux, LEAST_PEAK, this.#peak * BEAT_PEAK_LEFT);
    const activation = flux / this.#peak;
    this.#quiet = activation > SOUNDS ? 0 : this.#quiet + 1;
    if (this.#quiet >= SILENT_AFTER) {
      if (!this.clock.period) return;
      this.#model.forget();
      this.clock.stop();
      return;
    }
    const free = this.#quiet > BREAK;
    this.#model.move(free);
    if (!free) {
      const ratio = NO_NOTE * (NOTE / NO_NOTE) ** Math.min(1, activation / MUCH);
      this.#model.observe(ratio, (ratio * ACCENT * Math.max(0, activation - MUCH)) / (1 - MUCH));
    }
    this.clock.move(this.#model);
  }

  tap(ago, now) {
    const at = now - ago;
    const since = at - this.#taps[this.#taps.length - 1];
    if (this.#taps.length && !(since > 0 && since <= TAPS_WITHIN)) this.#taps = [];
    this.#taps = [...this.#taps.slice(1 - TAPS), at];
    const tapped = tappedPeriod(this.#taps);
    this.#quiet = 0;
    this.#model.expect(ago, tapped);
    const period = tapped || this.clock.period;
    if (period) this.clock.set(period, ago / period);
  }
}

// The tracker: tracker.py

/** Readings of one stream, whichever pieces it comes in. */
export class PulseTracker {
  #resampler;
  #steps = new Steps();
  #bands = new Bands();
  #timbre = new Timbre();
  #pitch = new Pitch();
  #onsetFlux = new Flux(ONSET_GAIN);
  #beatFlux = new Flux(BEAT_GAIN);
  #onsets = new Onsets();
  #beat = new BeatTracker();
  #index = 0;
  #filtered = new Float64Array(COUNT);
  #magnitude = new Float64Array(COUNT);

  /** Take the rate of the samples in Hz. */
  constructor(rate = SAMPLE_RATE) {
    this.#resampler = rate === SAMPLE_RATE ? null : new Resampler(rate);
  }

  /** Take a Float32Array, mono, -1 to 1; return a reading for each 10 ms that became whole. */
  push(samples) {
    const readings = [];
    const sound = samples.every(Number.isFinite) ? samples : samples.map((one) => (Number.isFinite(one) ? one : 0));
    const ready = this.#resampler ? this.#resampler.push(sound) : sound;
    this.#steps.push(ready, (power, history) => readings.push(this.#read(power, history)));
    return readings;
  }

  /** Take that nothing was heard for so many seconds: it is silence, of which there are no readings. */
  pause(seconds) {
    const index = this.#index;
    const silence = new Float32Array(Math.round(seconds * PULSE_RATE) * PULSE_STEP);
    this.#steps.push(silence, (power, history) => this.#read(power, history));
    this.#index = index;
  }

  /** Take that a beat is at the end of reading `index`, up to a second ahead of the newest: somebody tapped. */
  tap(index) {
    const newest = this.#index - 1;
    this.#beat.tap(Math.max(-PULSE_RATE, newest - index), newest);
  }

  #read(power, history) {
    filtered(power, this.#filtered);
    const { levels, decibels } = this.#bands.push(power);
    this.#timbre.push(power, this.#filtered, decibels[0]);
    this.#pitch.push(history);
    for (let k = 0; k < COUNT; k += 1) this.#magnitude[k] = Math.sqrt(this.#filtered[k] / FILTER_BANK[k].width);
    this.#onsetFlux.push(this.#magnitude);
    this.#beatFlux.push(this.#magnitude);
    const onset = this.#onsets.push(this.#onsetFlux.whole);
    this.#beat.push(this.#beatFlux.whole + DEEP_SHARE * this.#beatFlux.deep);
    const { clock } = this.#beat;
    this.#index += 1;
    return {
      index: this.#index - 1,
      level: levels[0],
      low: levels[1],
      mid: levels[2],
      high: levels[3],
      level_db: decibels[0],
      low_db: decibels[1],
      mid_db: decibels[2],
      high_db: decibels[3],
      brightness: this.#timbre.brightness,
      noisiness: this.#timbre.noisiness,
      harmonicity: this.#pitch.harmonicity,
      pitch_class: this.#pitch.pitchClass,
      pitch_height: this.#pitch.height,
      pitch_confidence: this.#pitch.confidence,
      onset,
      density: this.#onsets.density,
      tempo: clock.tempo,
      beat_phase: clock.phase,
      beat_confidence: this.#beat.confidence,
      next_beat: clock.next,
    };
  }
}
