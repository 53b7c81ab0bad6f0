// `node scripts/with-setup.mjs scripts/bench.ts`: this project beside what people run today, on databases that it builds itself.
// Writes docs/benchmarks.md with its charts and figures. It reports; no figure makes it fail.
import { join } from 'node:path';
import { buildProgram } from './bench/build-program.ts';
import { Lab } from './bench/lab.ts';
import { measure } from './bench/measure.ts';
import { readOptions, USAGE } from './bench/options.ts';
import { findParts } from './bench/parts.ts';
import { writePage } from './bench/render/write-page.ts';
import { root } from './setup.mjs';

const say = (line: string) => console.log(line);

try {
  const options = readOptions(process.argv.slice(2), join(root, 'docs'));
  if (!options.render) {
    const parts = await findParts(say);
    const program = await buildProgram();
    await using lab = await Lab.open({ options, program, say, ...parts });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        lab.abandon();
        process.exit(130);
      });
    }
    await measure(lab);
    for (const why of lab.leftOut) say(`left out: ${why}`);
  }
  await writePage(options.out);
  say(`written: ${join(options.out, 'benchmarks.md')}`);
} catch (error) {
  // Whole, because something may have failed while it was cleared away after another failure.
  console.error(error instanceof TypeError ? `${error.message}\n${USAGE}` : error);
  process.exitCode = error instanceof TypeError ? 64 : 1;
}
