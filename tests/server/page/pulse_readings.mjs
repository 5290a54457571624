/** Readings of pulse.js, for tests/server/page/test_pulse.py: float32 samples in, one JSON array of readings out. */

import { readFile } from 'node:fs/promises';

const source = await readFile(new URL('../../../server/page/pulse.js', import.meta.url), 'utf8');
const { PulseTracker } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const [path, rate, piece, ...told] = process.argv.slice(2); // "200": a tap at reading 200, "200+3": a pause of 3 s there
const taps = told.filter((one) => !one.includes('+'));
const pauses = Object.fromEntries(told.filter((one) => one.includes('+')).map((one) => one.split('+')));
const bytes = await readFile(path);
const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
const tracker = new PulseTracker(Number(rate));
const readings = [];
for (let start = 0; start < samples.length; start += Number(piece)) {
  for (const reading of tracker.push(samples.subarray(start, start + Number(piece)))) {
    readings.push(Object.values(reading));
    if (taps.includes(String(reading.index))) tracker.tap(reading.index);
    if (reading.index in pauses) tracker.pause(Number(pauses[reading.index]));
  }
}
console.log(JSON.stringify({ names: Object.keys(tracker.push(new Float32Array(Number(rate)))[0]), readings }));
