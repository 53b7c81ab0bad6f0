import { randomBytes } from 'node:crypto';

/**
 * Names of what a restore creates on the server: never derived from the live database's name, which
 * may fill all 63 bytes (a suffix would be cut off without an error, and the name be the live one's).
 */
const DATABASE = /^dropback_([spv])_([0-9a-f]{16})$/;
const KINDS = { s: 'staging', p: 'previous', v: 'scratch' } as const;

/** `scratch`: of a rehearsal, which swaps nothing. */
export type DatabaseKind = (typeof KINDS)[keyof typeof KINDS];
const LOAD_ROLE = /^dropback_load_([0-9a-f]{16})$/;

export interface RestoreNames {
  /** 16 hex digits, common to all of them. */
  readonly id: string;
  readonly staging: string;
  readonly previous: string;
  readonly loadRole: string;
}

export function newNames(): RestoreNames {
  return namesOf(randomBytes(8).toString('hex'));
}

export function namesOf(id: string): RestoreNames {
  return {
    id,
    staging: `dropback_s_${id}`,
    previous: `dropback_p_${id}`,
    loadRole: `dropback_load_${id}`,
  };
}

/** What a database's name says about it; undefined for every name that isn't exactly ours. */
export function parseDatabaseName(
  name: string,
): { readonly kind: DatabaseKind; readonly id: string } | undefined {
  const match = DATABASE.exec(name);
  if (!match?.[2]) return undefined;
  return { kind: KINDS[match[1] as keyof typeof KINDS], id: match[2] };
}

/** The name of a rehearsal's database. */
export function scratchName(id: string): string {
  return `dropback_v_${id}`;
}

export function parseLoadRole(name: string): string | undefined {
  return LOAD_ROLE.exec(name)?.[1];
}

/** One application_name for every session of one restore, so that recovery can end them all. */
export function applicationName(id: string): string {
  return `dropback restore ${id}`;
}
