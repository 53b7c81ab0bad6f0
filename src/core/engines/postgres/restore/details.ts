import type { TableCount } from '../../../archive/manifest.ts';
import type { Inspection, JsonValue } from '../../engine.ts';

/** What the PostgreSQL inspection remembers for the steps after it. */
export interface InspectionDetails {
  /** Not from our own catalogue: loaded by the load role, without owners and grants. */
  readonly foreign: boolean;
  /** Major of the pg_dump that wrote it, where the file says so. */
  readonly dumpMajor: number | null;
  readonly expectedBytes: number;
  readonly extensions: readonly { readonly name: string; readonly schema: string | null }[];
  /** Schemas that exist in staging before the load. */
  readonly existingSchemas: readonly string[];
  readonly missingRoles: readonly string[];
  /** Every tablespace that the file names is there, and it may use them. */
  readonly tablespaces: boolean;
  /** Constraints and indexes that were not valid in the source; null where nobody noted it. */
  readonly notValid: readonly string[] | null;
  readonly liveOid: string | null;
  readonly owner: string;
  readonly expectedTables: readonly TableCount[] | null;
}

export function toDetails(details: InspectionDetails): { readonly [key: string]: JsonValue } {
  return details as unknown as { readonly [key: string]: JsonValue };
}

export function detailsOf(inspection: Inspection): InspectionDetails {
  if (inspection.engine !== 'postgres') throw new RangeError('an inspection of another engine');
  return inspection.details as unknown as InspectionDetails;
}
