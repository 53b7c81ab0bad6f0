import type { EmailConfig } from './config.ts';
import type { Environment } from './environment.ts';
import { readIfSet } from './reader.ts';
import { value } from './values.ts';

export type MailServer = Pick<EmailConfig, 'host' | 'port' | 'secure' | 'user' | 'password'>;

const EXAMPLE = 'write smtp://user:password@mail.example.com:587, or smtps://… for port 465.';

const smtpUrl = value<MailServer>((text) => {
  const url = URL.parse(text.trim());
  const isSmtp = url !== null && /^smtps?:$/.test(url.protocol) && url.hostname !== '';
  if (!isSmtp || !/^\/?$/.test(url.pathname) || url.search !== '') {
    return { message: 'is not the address of a mail server', hint: EXAMPLE };
  }
  const secure = url.protocol === 'smtps:';
  try {
    return {
      ok: {
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: Number(url.port || (secure ? 465 : 587)),
        secure,
        ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
        ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
      },
    };
  } catch {
    const hint = 'percent-encode special characters: @ is %40, : %3A, / %2F, % %25.';
    return { message: 'has a user or password that is not percent-encoded', hint };
  }
});

export function readSmtp(environment: Environment): MailServer | undefined {
  return readIfSet(environment, 'ALERT_EMAIL_SMTP_URL', smtpUrl);
}
