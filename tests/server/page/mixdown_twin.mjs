/** What mixdown.js makes of channels, for test_mixdown.py: float32 samples [n, channels] in, [samples, taken] out as JSON. */

import { readFile } from 'node:fs/promises';

const source = await readFile(new URL('../../../server/page/mixdown.js', import.meta.url), 'utf8');
const { Mixdown } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const [path, channels, block] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const bytes = await readFile(path);
const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
const mixdown = new Mixdown(channels);
const [mixed, taken] = [[], []];
for (let start = 0; start < samples.length / channels; start += block) {
  const parts = Array.from({ length: channels }, (_, channel) => {
    return Float32Array.from({ length: block }, (__, index) => samples[(start + index) * channels + channel]);
  });
  mixed.push(...mixdown.mix(parts));
  taken.push(mixdown.taken);
}
console.log(JSON.stringify({ mixed, taken }));
