import { DropbackError } from '../runtime/errors.ts';

/** How often a container that came back by itself, or by somebody's hand, is stopped again. */
export const STOP_ROUNDS = 3;

export function keepsComingBack(names: readonly string[]): DropbackError {
  return new DropbackError(
    'containers/stop-failed',
    `stopped containers keep coming back: ${names.join(', ')}`,
    {
      hint: 'something else starts them (an orchestrator, a watchdog, a cron job): stop that during a restore.',
      facts: { containers: names },
    },
  );
}
