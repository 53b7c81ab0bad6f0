import type { AlertsConfig } from '../config/config.ts';
import type { CheckResult } from '../engines/engine.ts';
import { silentLogger } from '../observability/log.ts';
import { systemClock } from '../runtime/clock.ts';
import { errorReport, isAbort } from '../runtime/errors.ts';
import { Redactor } from '../runtime/redact.ts';
import { openChannels } from './open-alerts.ts';
import { Pings } from './pings.ts';

interface Way {
  readonly id: string;
  readonly description: string;
  probe(signal: AbortSignal): Promise<void>;
}

/**
 * Whether alerts would arrive, as far as that can be told without sending one: a line each way.
 * `pings`: for db-backup, which alone sends them.
 */
export async function alertChecks(
  config: AlertsConfig,
  { pings }: { readonly pings: boolean },
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const ways: Way[] = openChannels(config);
  if (pings && config.pingUrl !== undefined) ways.push(pingTo(config.pingUrl, config.secrets));
  return await Promise.all(ways.map((way) => checked(way, signal)));
}

function pingTo(url: string, secrets: readonly string[]): Way {
  const parts = { clock: systemClock, log: silentLogger() };
  const to = new Pings(url, Redactor.of(secrets), parts);
  return { id: 'ping', description: to.description, probe: (signal) => to.probe(signal) };
}

async function checked(way: Way, signal: AbortSignal): Promise<CheckResult> {
  const id = `alerts/${way.id}`;
  try {
    await way.probe(signal);
    return { id, status: 'ok', message: `${way.description}: can be reached` };
  } catch (error) {
    if (isAbort(error)) throw error;
    const { message, hint } = errorReport(error);
    return { id, status: 'failed', message: `${way.description}: ${message}`, hint };
  }
}
