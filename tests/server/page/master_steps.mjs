/** The master's numbers in the page: prints what each step of a told life gives. */

import { readFileSync } from 'node:fs';
import { Master } from '../../../server/page/screen/master.js';

const master = new Master();
const steps = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(steps.map(([seconds, values]) => master.advance(seconds, values))));
