/**
 * What native programs get of this process's environment: only what they need to run at all.
 * Secrets are passed one by one by whoever starts a program. Kept here because nothing outside
 * config/ reads `process.env`.
 */
export function minimalEnvironment(): Record<string, string> {
  const keep = ['PATH', 'TMPDIR', 'TZ', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];
  const environment: Record<string, string> = {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    // Messages are matched and shown: always the same language.
    LC_ALL: 'C.UTF-8',
    HOME: '/nonexistent',
  };
  for (const name of keep) {
    const value = process.env[name];
    if (value) environment[name] = value;
  }
  return environment;
}

/** What Node gets besides: where it keeps what it has compiled, as far as that is wanted here. */
export function nodeEnvironment(): Record<string, string> {
  const folder = process.env['NODE_COMPILE_CACHE'];
  return folder ? { NODE_COMPILE_CACHE: folder } : {};
}

/** Folders in which programs are looked up, in order. */
export function programFolders(): string[] {
  return (minimalEnvironment()['PATH'] ?? '').split(':').filter((folder) => folder !== '');
}
