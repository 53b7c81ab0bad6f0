import type { AlertsConfig } from '../config/config.ts';
import type { Logger } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ErrorReport } from '../runtime/errors.ts';
import { Redactor } from '../runtime/redact.ts';
import { type Alert, type AlertSource, type Alerts, noAlerts } from './alert.ts';
import type { AlertChannel } from './channel.ts';
import { Email } from './email.ts';
import { FloodGates } from './flood.ts';
import { AlertOutbox } from './outbox.ts';
import { AlertRelay } from './relay.ts';
import type { RelayDesk } from './relay-desk.ts';
import { AlertSender } from './sender.ts';
import { Webhook } from './webhook.ts';

/** A daemon's alerts: noted from the start, under way from `begin` until disposal. */
export interface Alerting extends AsyncDisposable {
  readonly alerts: Alerts;
  /** Takes up what the file holds. Not before this process alone writes it. Never throws. */
  begin(): Promise<void>;
  /** For `/alerts`; undefined where nobody is meant to fetch them. */
  readonly relayed: (() => readonly Alert[]) | undefined;
  /** For `/status`; undefined where nobody is told. */
  status(): AlertsStatus | undefined;
}

export interface AlertsStatus {
  readonly channels: readonly string[];
  /** Alerts that somebody has not taken yet. */
  readonly waiting: number;
  readonly lastError?: ErrorReport;
}

/** What the alerts of several databases have in common in one process. */
export interface SharedAlerts {
  readonly floods: FloodGates;
  /** Where another daemon's alerts come in; without it each looks for them itself. */
  readonly desk?: RelayDesk;
}

/** What a disposal may take. Milliseconds. */
const END_GRACE_MS = 5000;

export function openChannels(config: AlertsConfig): AlertChannel[] {
  const redactor = Redactor.of(config.secrets);
  return [
    ...(config.webhook ? [new Webhook(config.webhook, redactor)] : []),
    ...(config.email ? [new Email(config.email, redactor)] : []),
  ];
}

/** `file`: absolute path of the outbox's file, on a volume. */
export function openAlerts(
  config: AlertsConfig,
  options: {
    readonly file: string;
    readonly source: AlertSource;
    readonly clock: Clock;
    readonly log: Logger;
    readonly shared?: SharedAlerts;
  },
): Alerting {
  const { clock, log, shared } = options;
  const channels = openChannels(config);
  const receivers = [...channels.map(({ id }) => id), ...(config.relay ? ['relay'] : [])];
  if (!shared && config.relayUrl && channels.length === 0) tellNobodyToTell(log);
  if (receivers.length === 0) return nobody;
  const redactor = Redactor.of(config.secrets);
  const { least, repeatMs } = config;
  const flood = (shared?.floods ?? new FloodGates()).of(destinationOf(config));
  const outbox = new AlertOutbox({ ...options, receivers, least, repeatMs, flood, redactor });
  const sender = new AlertSender(outbox, channels, { clock, log });
  const hasRelay = !shared && channels.length > 0;
  const relay =
    hasRelay && config.relayUrl && new AlertRelay(config.relayUrl, outbox, { clock, log });
  let leave = () => {};
  const ending = new AbortController();
  const late = new AbortController();
  let running: Promise<unknown> | undefined;
  return {
    alerts: outbox,
    async begin() {
      await outbox.load();
      leave = shared?.desk?.join(options.source.name, outbox) ?? leave;
      running ??= Promise.all([
        sender.run(ending.signal, late.signal),
        relay ? relay.run(ending.signal) : undefined,
      ]);
    },
    relayed: config.relay ? () => outbox.waiting('relay') : undefined,
    status: () => ({
      channels: channels.map(({ description }) => description),
      waiting: outbox.size,
      ...(sender.lastError ? { lastError: sender.lastError } : {}),
    }),
    async [Symbol.asyncDispose]() {
      leave();
      ending.abort();
      const timer = setTimeout(() => late.abort(), END_GRACE_MS);
      await running;
      clearTimeout(timer);
      await outbox.saved();
    },
  };
}

export function hasChannel({ webhook, email }: AlertsConfig): boolean {
  return webhook !== undefined || email !== undefined;
}

/** Whose alerts would drown each other: those that come to the same people. */
function destinationOf({ webhook, email }: AlertsConfig): string {
  return JSON.stringify([webhook?.url, email?.to]);
}

/** ALERT_RELAY_URL without a way out of its own. */
export function tellNobodyToTell(log: Logger): void {
  log.warn(
    "nobody is told of db-restore's alerts: ALERT_RELAY_URL is set, but no ALERT_WEBHOOK_URL or ALERT_EMAIL_TO",
  );
}

const nobody: Alerting = {
  alerts: noAlerts,
  async begin() {},
  relayed: undefined,
  status: () => undefined,
  async [Symbol.asyncDispose]() {},
};
