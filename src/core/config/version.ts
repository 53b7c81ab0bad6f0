import { readFileSync } from 'node:fs';

/** Version of this software, from package.json (three folders up in src/ and in dist/ alike). */
export const dropbackVersion: string = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  }
).version;
