import type { AlertsConfig, EmailConfig, WebhookConfig, WebhookFormat } from './config.ts';
import type { Environment } from './environment.ts';
import { read, readIfSet } from './reader.ts';
import { secretsOf } from './secrets.ts';
import { readSmtp } from './smtp-url.ts';
import { boolean, choice, integer, value } from './values.ts';

const HOUR_MS = 3_600_000;

const httpUrl = value<string>((text) => {
  const url = URL.parse(text.trim());
  if (url && /^https?:$/.test(url.protocol) && url.username === '') return { ok: url.href };
  return { message: 'must be an http or https address', hint: 'write https://… in full.' };
});

const events = choice('info', 'warning', 'error');

/** Both daemons read all of it: what only one of them uses does the other no harm. */
export function readAlerts(environment: Environment): AlertsConfig {
  const webhook = readWebhook(environment);
  const email = readEmail(environment);
  const pingUrl = readIfSet(environment, 'ALERT_PING_URL', httpUrl);
  const relayUrl = readIfSet(environment, 'ALERT_RELAY_URL', httpUrl);
  return {
    ...(webhook ? { webhook } : {}),
    ...(email ? { email } : {}),
    ...(pingUrl === undefined ? {} : { pingUrl }),
    relay: read(environment, 'ALERT_RELAY', boolean),
    ...(relayUrl === undefined ? {} : { relayUrl }),
    least: read(environment, 'ALERT_LEVEL', events),
    repeatMs: read(environment, 'ALERT_REPEAT_HOURS', integer(0, 8760, 'hours')) * HOUR_MS,
    secrets: secretsOf(environment),
  };
}

/** By the receiver's address, where it is told by that. */
const hosts: readonly (readonly [RegExp, WebhookFormat])[] = [
  [/(^|\.)slack\.com$/, 'slack'],
  [/(^|\.)discord(app)?\.com$/, 'discord'],
  [/(\.webhook\.office|\.logic\.azure|\.powerplatform)\.com$/, 'teams'],
  [/(^|\.)ntfy\.sh$/, 'ntfy'],
];

function readWebhook(environment: Environment): WebhookConfig | undefined {
  const url = readIfSet(environment, 'ALERT_WEBHOOK_URL', httpUrl);
  const token = readIfSet(environment, 'ALERT_WEBHOOK_TOKEN', headerText);
  const formats = choice('json', 'slack', 'discord', 'teams', 'ntfy');
  const asked = readIfSet(environment, 'ALERT_WEBHOOK_FORMAT', formats);
  if (url === undefined) return undefined;
  const { hostname, pathname } = new URL(url);
  const format = asked ?? hosts.find(([pattern]) => pattern.test(hostname))?.[1] ?? 'json';
  if (format === 'ntfy' && pathname === '/') {
    const hint = 'write it with the topic, for example https://ntfy.sh/my-backups.';
    environment.problem('ALERT_WEBHOOK_URL', 'names no ntfy topic', hint);
  }
  return { url, format, ...(token === undefined ? {} : { token }) };
}

const headerText = value<string>((text) => {
  if (/^[\x21-\x7e]+$/.test(text.trim())) return { ok: text.trim() };
  return { message: 'is no token', hint: 'write it without the word Bearer, and without spaces.' };
});

const addresses = value<readonly string[]>((text) => {
  const all = text.split(',').map((one) => one.trim());
  if (all.every(isAddress)) return { ok: all };
  return { message: 'must be e-mail addresses', hint: 'write a@example.com, b@example.com.' };
});

const sender = value<string>((text) => {
  const bare = /<([^<>]*)>\s*$/.exec(text)?.[1] ?? text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
  if (isAddress(bare.trim()) && !/[\u0000-\u001f]/.test(text)) return { ok: text.trim() };
  return { message: 'must be an e-mail address', hint: 'write Backups <backups@example.com>.' };
});

function isAddress(text: string): boolean {
  return /^[^\s@<>,;:"]+@[^\s@<>,;:"]+$/.test(text);
}

function readEmail(environment: Environment): EmailConfig | undefined {
  const server = readSmtp(environment);
  const to = readIfSet(environment, 'ALERT_EMAIL_TO', addresses);
  const given = readIfSet(environment, 'ALERT_EMAIL_FROM', sender);
  const isToSet = environment.get('ALERT_EMAIL_TO') !== undefined;
  const isServerSet = environment.get('ALERT_EMAIL_SMTP_URL') !== undefined;
  if (isToSet && !isServerSet) {
    const hint = 'for example smtp://user:password@mail.example.com:587.';
    environment.problem('ALERT_EMAIL_SMTP_URL', 'is missing, ALERT_EMAIL_TO is set', hint);
  }
  if (isServerSet && !isToSet) {
    const hint = 'name who is to get the mails.';
    environment.problem('ALERT_EMAIL_TO', 'is missing, ALERT_EMAIL_SMTP_URL is set', hint);
  }
  if (!server || !to) return undefined;
  const from = given ?? (server.user && isAddress(server.user) ? server.user : undefined);
  if (from === undefined) {
    const hint = 'name an address that the mail server lets you send from.';
    environment.problem('ALERT_EMAIL_FROM', 'is missing: the user is no address', hint);
    return undefined;
  }
  return { ...server, from, to };
}
