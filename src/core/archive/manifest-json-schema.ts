import { z } from 'zod';
import { manifestSchema } from './manifest-schema.ts';

const sha256 = { type: 'string', pattern: '^[0-9a-f]{64}$' };

/** What docs/manifest.schema.json holds: the form of a manifest's file, its own checksum included. */
export function manifestJsonSchema(): Record<string, unknown> {
  const { $schema, properties, required, ...rest } = z.toJSONSchema(manifestSchema, {
    io: 'input',
    override({ jsonSchema }) {
      // The format says it; what zod adds to it is a page of leap years.
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
    },
  });
  return {
    $schema,
    title: 'Manifest of a backup by dropback, version 1',
    ...rest,
    properties: { ...properties, checksum: sha256 },
    required: [...(required ?? []), 'checksum'],
  };
}
