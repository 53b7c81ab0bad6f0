import { metaCommand, type Place } from './refusals.ts';

const RESTRICT = /^\\restrict ([A-Za-z0-9]+)$/;
const UNRESTRICT = /^\\unrestrict ([A-Za-z0-9]+)$/;
/** `\connect name`, or the long form that pg_dump uses for names with unusual characters. */
const CONNECT = /^\\connect (?:-reuse-previous=on )?\S.*$/;

/**
 * The only commands of psql that a dump may hold: its own `\restrict` and `\unrestrict`, in pairs,
 * and behind CREATE DATABASE (pg_dump --create) `\connect`. None of them is passed on.
 */
export class MetaCommands {
  #key: string | undefined;
  #databaseCreated = false;

  databaseCreated(): void {
    this.#databaseCreated = true;
  }

  /** Throws `drop/meta-command` for everything else. */
  accept(bytes: Buffer, place: Place): void {
    const line = bytes.toString('latin1').replace(/\r$/, '');
    const opened = RESTRICT.exec(line);
    const closed = UNRESTRICT.exec(line);
    if (opened && this.#key === undefined) {
      this.#key = opened[1];
      return;
    }
    if (closed && this.#key !== undefined && closed[1] === this.#key) {
      this.#key = undefined;
      return;
    }
    const isConnect = CONNECT.test(line) && !/[`|\\]/.test(line.slice(1));
    if (isConnect && this.#databaseCreated && this.#key === undefined) return;
    throw metaCommand(bytes.toString('utf8'), place);
  }
}
