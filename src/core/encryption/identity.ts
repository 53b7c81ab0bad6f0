/** What opens our encrypted backups. A secret: it is only ever fed to age's standard input. */
export interface AgeIdentity {
  /** As age reads it: one or more `AGE-SECRET-KEY-1…` lines, or an SSH private key. */
  readonly text: string;
  /** Where it was read from, for the check of its permissions. */
  readonly path?: string;
}

export interface Refusal {
  readonly message: string;
  readonly hint: string;
}

/** Whether RESTORE_AGE_IDENTITY holds the identity itself, and not the path of its file. */
export function looksLikeIdentity(text: string): boolean {
  return /AGE-SECRET-KEY-|AGE-PLUGIN-|-----BEGIN |^age1|\n/.test(text);
}

const NATIVE = /^AGE-SECRET-KEY-[A-Z0-9-]+$/;
const MAKE_ONE = 'make one with age-keygen, and name its file here.';

/** The text as age takes it, or why nothing could be opened with it without asking somebody. */
export function readIdentityText(text: string): { readonly ok: string } | Refusal {
  const plain = `${text.replaceAll('\r\n', '\n').trim()}\n`;
  if (/^(age-encryption\.org\/|-----BEGIN AGE ENCRYPTED FILE)/.test(plain)) {
    return {
      message: 'is protected by a passphrase, which nobody is there to type',
      hint: 'decrypt it (age -d KEY.age > key.txt), keep that with mode 0600, and name it here.',
    };
  }
  if (plain.startsWith('-----BEGIN ')) return readSshKey(plain);
  const lines = plain.split('\n').map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.some((line) => line.startsWith('AGE-PLUGIN-'))) {
    return { message: 'is that of an age plugin, which the image does not have', hint: MAKE_ONE };
  }
  if (keys.some((line) => line.startsWith('age1'))) {
    return {
      message: 'is a recipient (age1…), with which nothing can be opened',
      hint: 'the identity is the line AGE-SECRET-KEY-1… of the file that age-keygen wrote.',
    };
  }
  if (keys.length > 0 && keys.every((line) => NATIVE.test(line))) return { ok: plain };
  return { message: 'is no age identity', hint: MAKE_ONE };
}

/** OpenSSH's own format names its cipher; the older one has a header. */
function readSshKey(plain: string): { readonly ok: string } | Refusal {
  const body = plain.replace(/-----[^-]+-----/g, '').replace(/\s/g, '');
  const isProtected =
    /ENCRYPTED/.test(plain) ||
    (plain.startsWith('-----BEGIN OPENSSH') &&
      !Buffer.from(body, 'base64').subarray(0, 64).toString('latin1').includes('none'));
  if (!isProtected) return { ok: plain };
  return {
    message: 'is an SSH key protected by a passphrase, which nobody is there to type',
    hint: 'take a copy without one: ssh-keygen -p -N "" -f COPY.',
  };
}
