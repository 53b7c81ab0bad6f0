import type { WebhookFormat } from '../config/config.ts';
import { shorten, shortenToBytes } from '../runtime/shorten.ts';
import type { Alert } from './alert.ts';
import { linesOf, textOf, titleOf } from './text.ts';

/** What is posted where: ntfy takes JSON at the server's address, the topic inside. */
export interface WebhookBody {
  readonly url: string;
  readonly body: object;
}

const colours = { info: 0x2e7d32, warning: 0xf9a825, error: 0xc62828 } as const;

export function webhookBody(format: WebhookFormat, url: string, alert: Alert): WebhookBody {
  switch (format) {
    case 'slack':
      return { url, body: slack(alert) };
    case 'discord':
      return { url, body: discord(alert) };
    case 'teams':
      return { url, body: teams(alert) };
    case 'ntfy':
      return ntfy(url, alert);
    case 'json':
      // `text` is what Mattermost, Rocket.Chat and many small receivers show.
      return { url, body: { ...alert, text: textOf(alert) } };
  }
}

/** https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks */
function slack(alert: Alert): object {
  // Only these three have a meaning in Slack's text; links and mentions begin with <.
  const escaped = (text: string) =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const color = `#${colours[alert.severity].toString(16).padStart(6, '0')}`;
  const text = escaped(linesOf(alert).join('\n'));
  return {
    text: escaped(titleOf(alert)),
    attachments: [{ color, text, fallback: text, mrkdwn_in: [] }],
  };
}

/** https://discord.com/developers/docs/resources/webhook#execute-webhook */
function discord(alert: Alert): object {
  return {
    embeds: [
      {
        title: shorten(titleOf(alert), 256),
        description: shorten(linesOf(alert).join('\n'), 4000),
        color: colours[alert.severity],
        timestamp: alert.at,
      },
    ],
    // A file's name must not call everyone.
    allowed_mentions: { parse: [] },
  };
}

const cardColours = { info: 'Good', warning: 'Warning', error: 'Attention' } as const;

/** Messages may have 28 kB; escapes may double what is in them. */
const MOST_CARD_BYTES = 10_000;

/** An adaptive card, as the workflow "When a Teams webhook request is received" takes it. */
function teams(alert: Alert): object {
  const block = (text: string) => ({ type: 'TextBlock', text: plain(text), wrap: true });
  const most = Math.floor(MOST_CARD_BYTES / (linesOf(alert).length + 1));
  const [first, ...rest] = [titleOf(alert), ...linesOf(alert)].map((line) =>
    shortenToBytes(line, most),
  );
  const title = { weight: 'Bolder', size: 'Medium', color: cardColours[alert.severity] };
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    body: [{ ...block(first ?? ''), ...title }, ...rest.map(block)],
  };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return { type: 'message', attachments: [{ contentType, contentUrl: null, content }] };
}

/** Text blocks know a subset of Markdown: a file's name must not become a link. */
function plain(text: string): string {
  return text.replace(/[\\`*_[\]()]/g, '\\$&');
}

const priorities = { info: 3, warning: 4, error: 5 } as const;
const tags = { info: 'white_check_mark', warning: 'warning', error: 'rotating_light' } as const;

/**
 * A message has 4,096 bytes; a longer one becomes a file, where the server takes files. All of the JSON
 * has twice as many: escapes take some.
 */
const MOST_NTFY_BYTES = 3500;

/** https://docs.ntfy.sh/publish/#publish-as-json */
function ntfy(url: string, alert: Alert): WebhookBody {
  const server = new URL(url);
  const path = server.pathname.split('/').filter((part) => part !== '');
  const topic = decodeURIComponent(path.pop() ?? '');
  server.pathname = `/${path.join('/')}`;
  const { severity } = alert;
  const body = {
    topic,
    title: shortenToBytes(titleOf(alert), 250),
    message: shortenToBytes(linesOf(alert).join('\n'), MOST_NTFY_BYTES),
    priority: priorities[severity],
    tags: [tags[severity]],
  };
  return { url: server.href, body };
}
