import type { ScriptEvent } from '../../../src/core/engines/postgres/script/events.ts';
import { ScriptSplitter } from '../../../src/core/engines/postgres/script/splitter.ts';

export const never = new AbortController().signal;

/** All events of a script, fed in chunks of this many bytes. */
export function split(
  script: string | Buffer,
  chunk = Number.POSITIVE_INFINITY,
  longestStatement?: number,
): ScriptEvent[] {
  const bytes = Buffer.from(script as string);
  const splitter = new ScriptSplitter(longestStatement === undefined ? {} : { longestStatement });
  const events: ScriptEvent[] = [];
  for (let at = 0; at < bytes.length; at += chunk) {
    const end = Math.min(bytes.length, at + chunk);
    // A buffer of its own, overwritten at once where someone kept it against the contract.
    events.push(...splitter.push(Buffer.from(bytes.subarray(at, end))));
    if (chunk === Number.POSITIVE_INFINITY) break;
  }
  events.push(...splitter.end());
  return events;
}

/** `kind text` of everything but white space. */
export function outline(script: string | Buffer, chunk?: number): string[] {
  return split(script, chunk)
    .filter((event) => event.kind !== 'blank')
    .map((event) => `${event.kind}: ${event.bytes.toString('utf8')}`);
}

/** The statements alone. */
export function statements(script: string | Buffer, chunk?: number): string[] {
  return split(script, chunk)
    .filter((event) => event.kind === 'statement' || event.kind === 'copy')
    .map((event) => event.bytes.toString('utf8'));
}

export async function* chunks(script: string | Buffer, size = 7): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(script as string);
  for (let at = 0; at < bytes.length; at += size) yield Buffer.from(bytes.subarray(at, at + size));
}

export const HEADER = `--
-- PostgreSQL database dump
--

-- Dumped from database version 18.6 (Debian 18.6-1)
-- Dumped by pg_dump version 18.6 (Debian 18.6-1)

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

`;

export const TRAILER = `
--
-- PostgreSQL database dump complete
--

`;

export const dump = (body: string) => `${HEADER}${body}${TRAILER}`;
