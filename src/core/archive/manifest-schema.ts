import { z } from 'zod';
import { isArchiveExtension, NAME_PATTERN, parseArchiveId } from './archive-name.ts';
import type { Manifest, SavedRole } from './manifest.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().nonnegative();
const time = z.iso.datetime();
const texts = z.array(z.string());

const tableCount = z.strictObject({ schema: z.string(), name: z.string(), rows: count });

const archive = z.strictObject({
  file: z.string(),
  format: z.enum([
    'postgres-custom',
    'postgres-directory',
    'postgres-plain',
    'sqlite-file',
    'sqlite-plain',
  ]),
  compression: z.enum(['zstd', 'none']),
  bytes: count,
  sha256,
  contentBytes: count,
  contentSha256: sha256.exactOptional(),
  encryption: z.strictObject({ method: z.literal('age'), recipients: texts }).exactOptional(),
});

const database = z.strictObject({
  name: z.string(),
  version: z.string(),
  sizeBytes: count,
  properties: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .transform(sortedByKey),
  notValid: texts,
});

const membership = z.strictObject({
  role: z.string(),
  admin: z.boolean(),
  inherit: z.boolean().exactOptional(),
  set: z.boolean().exactOptional(),
});

const savedSetting = z.strictObject({ name: z.string(), value: z.string() });

const savedRole = z.strictObject({
  name: z.string(),
  password: z.string().exactOptional(),
  attributes: z.array(
    z.enum(['SUPERUSER', 'INHERIT', 'CREATEROLE', 'CREATEDB', 'LOGIN', 'REPLICATION', 'BYPASSRLS']),
  ),
  connectionLimit: z.int().min(-1),
  validUntil: z.string().exactOptional(),
  settings: z.array(savedSetting),
  databaseSettings: z.array(savedSetting).exactOptional(),
  memberOf: z.array(membership),
});

export const savedRolesSchema: z.ZodType<readonly SavedRole[]> = z.array(savedRole);

/**
 * Version 1, nothing more and nothing less. The order of the keys here is the order in the file.
 * The names in it lead to files that are read and deleted, so they are tied to each other.
 */
export const manifestSchema: z.ZodType<Manifest> = z
  .strictObject({
    format: z.literal('dropback-manifest'),
    version: z.literal(1),
    id: z.string(),
    name: z.string().regex(NAME_PATTERN),
    origin: z
      .string()
      .regex(/^[0-9a-f]{16}$/)
      .exactOptional(),
    engine: z.enum(['postgres', 'sqlite']),
    createdAt: time,
    finishedAt: time,
    archive,
    database,
    tool: z.strictObject({ name: z.string(), version: z.string() }),
    dropback: z.string(),
    tables: z.array(tableCount),
    rowCounts: z.enum(['exact', 'archive']),
    roles: texts,
    globals: z
      .union([
        z.strictObject({ roles: savedRolesSchema }),
        z.strictObject({ encrypted: z.string() }),
      ])
      .exactOptional(),
    extensions: texts,
    excludedTableData: texts,
    leftOut: z.array(tableCount.extend({ rows: count.exactOptional() })).exactOptional(),
    warnings: texts,
    restoreByHand: texts,
  })
  .refine((manifest) => parseArchiveId(manifest.id)?.name === manifest.name, {
    path: ['id'],
    message: 'must be the name and a time in UTC',
  })
  .refine(
    ({ id, archive: { file } }) => file.startsWith(id) && isArchiveExtension(file.slice(id.length)),
    { path: ['archive', 'file'], message: 'must be the id and an extension' },
  );

function sortedByKey<T>(record: Record<string, T>): Record<string, T> {
  const entries = Object.entries(record);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
