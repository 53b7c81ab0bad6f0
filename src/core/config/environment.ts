import { accessSync, closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf } from '../runtime/errors.ts';
import { nearestFirst } from './nearest.ts';
import type { ConfigProblem } from './problems.ts';
import { libpqIgnored, type VariableName, variableNames } from './variables.ts';

/** What the process was started with. */
export type RawEnvironment = Readonly<Record<string, string | undefined>>;

/** What parsing needs of the machine; injected, so that tests decide. */
export interface ConfigHost {
  /** Folder that relative paths start from. */
  readonly cwd: string;
  /** Content of a text file of at most 64 KiB, or `mostBytes`; throws what node:fs throws. */
  readFile(path: string, mostBytes?: number): string;
  readable(path: string): boolean;
  /** Of an existing file or folder, whatever it is called; undefined where there is none. */
  fileId(path: string): string | undefined;
}

/** The largest file that NAME_FILE may point to, in bytes. */
const LARGEST_VALUE_FILE = 64 * 1024;

export const machine: ConfigHost = {
  cwd: process.cwd(),
  readFile(path, mostBytes = LARGEST_VALUE_FILE) {
    // Non-blocking, so that a FIFO is an error instead of a hang.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = fstatSync(file);
      if (!found.isFile()) throw new Error('it is not a regular file');
      const buffer = Buffer.alloc(mostBytes + 1);
      let length = 0;
      for (;;) {
        const read = readSync(file, buffer, length, buffer.length - length, null);
        length += read;
        if (length > mostBytes) throw new Error(`it is larger than ${mostBytes / 1024} KiB`);
        if (read === 0) return buffer.toString('utf8', 0, length);
      }
    } finally {
      closeSync(file);
    }
  },
  fileId(path) {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    return found && `${found.dev}:${found.ino}`;
  },
  readable(path) {
    try {
      accessSync(path, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  },
};

/** The variables that are set, files read, empty ones left out; and what is wrong so far. */
export class Environment {
  readonly problems: ConfigProblem[] = [];
  readonly warnings: string[] = [];
  readonly host: ConfigHost;
  readonly raw: RawEnvironment;
  readonly #values = new Map<VariableName, string>();

  constructor(raw: RawEnvironment, host: ConfigHost) {
    this.raw = raw;
    this.host = host;
    for (const name of variableNames) {
      const value = this.#value(name, raw);
      if (value !== undefined) this.#values.set(name, value);
    }
    this.#warnOfUnknown(raw);
  }

  get(name: VariableName): string | undefined {
    return this.#values.get(name);
  }

  problem(variable: string, message: string, hint: string): void {
    this.problems.push({ variable, message, hint });
  }

  warn(warning: string): void {
    this.warnings.push(warning);
  }

  /** Absolute form of a path that a user gave. */
  path(text: string): string {
    return resolve(this.host.cwd, text);
  }

  #value(name: VariableName, raw: RawEnvironment): string | undefined {
    const direct = raw[name] || undefined;
    const fileName = `${name}_FILE`;
    const file = raw[fileName] || undefined;
    if (file === undefined) return direct;
    if (direct !== undefined) {
      this.problem(name, `is set twice, also as ${fileName}`, 'keep one of the two.');
      return direct;
    }
    try {
      // Editors and `echo` end a file with a newline that is no part of the secret.
      const content = this.host.readFile(this.path(file)).replace(/\r?\n$/, '');
      if (content.includes('\0')) throw new Error('it holds a NUL byte');
      return content || undefined;
    } catch (error) {
      this.problem(
        fileName,
        `cannot be read: ${messageOf(error)}`,
        'check the path, that the file is mounted into this container, and that PUID may read it.',
      );
      return undefined;
    }
  }

  #warnOfUnknown(raw: RawEnvironment): void {
    const known = new Set<string>(variableNames.flatMap((name) => [name, `${name}_FILE`]));
    for (const name of Object.keys(raw).sort()) {
      if (!raw[name] || known.has(name)) continue;
      if (/^(BACKUP|RESTORE|S3|ALERT)_/.test(name)) {
        const [nearest] = nearestFirst(name, known);
        this.warn(
          `${name} is not a variable of dropback and has no effect; the nearest is ${nearest}`,
        );
      } else if (libpqIgnored.has(name)) {
        this.warn(`${name} is not used by dropback: each connection sets its own`);
      }
    }
  }
}
