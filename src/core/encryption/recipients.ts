import type { Refusal } from './identity.ts';

const SSH = /^(ssh-ed25519|ssh-rsa) ([A-Za-z0-9+/=]+)/;

/**
 * The recipients in a text: separated by commas or lines; lines that begin with # are comments, and
 * so is what follows an SSH key. Whether a key is right is age's to say: `encryptionChecks` asks it.
 */
export function readRecipients(text: string): { readonly ok: readonly string[] } | Refusal {
  if (/AGE-SECRET-KEY-|-----BEGIN /.test(text)) return secretKey;
  const lines = text.split(/\r?\n/).filter((line) => !line.trim().startsWith('#'));
  const items = lines.flatMap((line) => line.split(',')).map((item) => item.trim());
  const recipients = new Set<string>();
  for (const item of items) {
    if (item === '') continue;
    const ssh = SSH.exec(item);
    if (!ssh && !/^age1[a-z0-9]+$/.test(item)) return noRecipient;
    recipients.add(ssh ? `${ssh[1]} ${ssh[2]}` : item);
  }
  return recipients.size > 0 ? { ok: [...recipients] } : noRecipient;
}

const noRecipient: Refusal = {
  message: 'holds something that is no recipient',
  hint: 'write age1… as `age-keygen -y KEYFILE` prints it, or an SSH public key (ssh-ed25519, ssh-rsa).',
};

const secretKey: Refusal = {
  message: 'holds a secret key, which must not be where backups are made',
  hint: 'write its recipient, as `age-keygen -y KEYFILE` prints it; keep the key where you restore.',
};
