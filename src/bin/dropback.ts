#!/usr/bin/env node
import { runCli } from '../cli/program.ts';
import { processTerminal } from '../cli/terminal.ts';
import { loadCliConfig } from '../core/config/load.ts';
import { systemClock } from '../core/runtime/clock.ts';
import { runMain } from '../core/runtime/main.ts';
import { operations } from './operations.ts';

await runMain((signal) =>
  runCli(process.argv.slice(2), {
    config: loadCliConfig(),
    operations,
    terminal: processTerminal(),
    clock: systemClock,
    signal,
  }),
);
