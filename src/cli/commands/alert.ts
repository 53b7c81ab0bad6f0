import { randomUUID } from 'node:crypto';
import type { Alert } from '../../core/alerts/alert.ts';
import { openChannels } from '../../core/alerts/open-alerts.ts';
import { Pings } from '../../core/alerts/pings.ts';
import type { CommonConfig } from '../../core/config/config.ts';
import { databaseAddress } from '../../core/engines/database-address.ts';
import { silentLogger } from '../../core/observability/log.ts';
import { type ErrorReport, errorReport, isAbort } from '../../core/runtime/errors.ts';
import { Redactor } from '../../core/runtime/redact.ts';
import type { CliContext } from '../context.ts';
import { colour, printable } from '../terminal.ts';

export interface AlertOptions {
  readonly test?: boolean;
  readonly json?: boolean;
}

interface Way {
  readonly description: string;
  send(signal: AbortSignal): Promise<void>;
}

interface Tried {
  readonly channel: string;
  readonly error?: ErrorReport;
}

const NOBODY =
  'nobody is told when a backup fails: set ALERT_WEBHOOK_URL, ALERT_EMAIL_TO or ALERT_PING_URL';

/** Who is told, or with `test` one message by each way; exits with 1 where one fails, or nobody is. */
export async function alert(options: AlertOptions, context: CliContext): Promise<void> {
  const { terminal, signal } = context;
  const config = context.config.common();
  const ways = waysOf(config, context);
  const results: Tried[] = options.test
    ? await Promise.all(ways.map((way) => tried(way, signal)))
    : ways.map(({ description }) => ({ channel: description }));
  if (options.json) terminal.out(JSON.stringify(results, null, 2));
  else for (const result of results) print(result, options.test === true, context);
  const { relay } = config.alerts;
  if (relay && !options.json) {
    terminal.out('db-backup hands the alerts of this daemon on: try `dropback alert --test` there');
  }
  if (ways.length === 0 && !relay) terminal.err(NOBODY);
  const isWell = results.every(({ error }) => error === undefined) && (ways.length > 0 || relay);
  context.setExitCode(isWell ? 0 : 1);
}

function waysOf(config: CommonConfig, { clock }: CliContext): Way[] {
  const message = testMessage(config, clock.now());
  const ways: Way[] = openChannels(config.alerts).map((channel) => ({
    description: channel.description,
    send: (signal) => channel.send(message, signal),
  }));
  const { pingUrl, secrets } = config.alerts;
  if (pingUrl === undefined) return ways;
  const pings = new Pings(pingUrl, Redactor.of(secrets), { clock, log: silentLogger() });
  // Healthchecks.io logs it, and the state of the check stays as it is.
  return [
    ...ways,
    { description: `${pings.description} (/log)`, send: (signal) => pings.test(signal) },
  ];
}

function testMessage({ name, database }: CommonConfig, now: Date): Alert {
  return {
    format: 'dropback-alert',
    version: 1,
    id: randomUUID(),
    event: 'test',
    severity: 'info',
    title: 'a test: alerts arrive here',
    lines: ['sent by `dropback alert --test`; there is nothing to do'],
    at: now.toISOString(),
    source: { program: 'dropback', name, database: databaseAddress(database) },
  };
}

async function tried({ description, send }: Way, signal: AbortSignal): Promise<Tried> {
  try {
    await send(signal);
    return { channel: description };
  } catch (error) {
    if (isAbort(error)) throw error;
    return { channel: description, error: errorReport(error) };
  }
}

function print({ channel, error }: Tried, isTest: boolean, { terminal }: CliContext): void {
  if (!isTest) {
    terminal.out(printable(channel));
    return;
  }
  const mark = error ? colour(terminal, 'red', 'FAILED ') : colour(terminal, 'green', 'sent   ');
  const text = error ? `${channel}: ${error.message}` : channel;
  terminal.out(`${mark}  ${printable(text)}`);
  if (error) terminal.out(`         → ${printable(error.hint)}`);
}
