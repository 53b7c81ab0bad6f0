#!/usr/bin/env node
/**
 * Stops what up.mjs started, and only that: by recorded process (pid and start time) and
 * container id. Data stay for the next up. `--purge` also removes the data of the servers;
 * what was downloaded or built is kept.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { docker } from './docker-engine.mjs';
import { stopCluster } from './postgres-cluster.mjs';
import { stop } from './processes.mjs';
import { readRecord, record, stateDir, withLock } from './state.mjs';

const purge = process.argv.includes('--purge');

await withLock(async () => {
  const { s3, postgres15, postgres18, docker: engine } = readRecord();
  if (s3?.containerId) say('s3', await stopContainer(s3, 5));
  if (postgres15?.process) say('postgres 15', await stopCluster(postgres15));
  if (postgres18?.containerId) say('postgres 18', await stopContainer(postgres18));
  if (engine?.engine) say('docker', await stop(engine.engine, 60_000));
  if (!purge) return;
  for (const part of ['s3', 'postgres15', 'postgres18']) {
    rmSync(join(stateDir, part), { recursive: true, force: true });
    record(part, undefined);
  }
  console.log('data of the servers removed');
});

function say(part, stopped) {
  console.log(`${part}: ${stopped ? 'stopped' : 'was not running'}`);
}

/** @returns {Promise<boolean>} whether it was running */
async function stopContainer({ containerId, volume }, grace = 30) {
  const { code, stdout } = await docker(
    ['inspect', '--format', '{{.State.Running}}', containerId],
    { check: false },
  );
  if (code !== 0) return false;
  if (stdout.trim() === 'true')
    await docker(['stop', '-t', String(grace), containerId], { check: false });
  if (purge) {
    await docker(['rm', '-f', '-v', containerId], { check: false });
    await docker(['volume', 'rm', '-f', volume], { check: false });
  }
  return stdout.trim() === 'true';
}
