import type { Stack } from './stack.ts';

/** Goes on after SIGTERM until the file is there: a restore that is to stop it waits so long. */
const script =
  "process.on('SIGTERM', () => setInterval(() => require('fs').existsSync('/tmp/may-stop') && process.exit(), 100)); setInterval(() => {}, 1000)";

/**
 * A compose file with the service `worker`, which holds a restore at its stop until `letStop`, and
 * at its start, by its health check, until `letStart`. Others than a restore kill it after a second.
 */
export const heldWorker = `
services:
  worker:
    image: dropback-demo-web
    entrypoint: [node, -e, "${script}"]
    restart: always
    stop_grace_period: 1s
    healthcheck:
      test: [CMD, test, -e, /tmp/well]
      interval: 1s
      start_period: 1h
`;

/** Stops `web`, then hangs at `worker`. */
export const heldSettings = {
  RESTORE_STOP_CONTAINERS: 'service:web,service:worker',
  RESTORE_STOP_TIMEOUT: '600',
  RESTORE_POLL_INTERVAL: '1',
};

// Both last until the container is removed, also over its restart.
export const letStop = (stack: Stack) => stack.exec('worker', ['touch', '/tmp/may-stop']);
export const holdStop = (stack: Stack) => stack.exec('worker', ['rm', '-f', '/tmp/may-stop']);
export const holdStart = (stack: Stack) => stack.exec('worker', ['rm', '-f', '/tmp/well']);
export const letStart = (stack: Stack) => stack.exec('worker', ['touch', '/tmp/well']);
