import type { Manifest } from '../../../archive/manifest.ts';
import type { CreationModel } from '../restore/create-staging.ts';

const PROVIDERS: Readonly<Record<string, string>> = { libc: 'c', icu: 'i', builtin: 'b' };

/** Encoding and locale of the source as its manifest has them, by the names of the catalog. */
export function sourceModel({ database }: Pick<Manifest, 'database'>): CreationModel {
  const { properties } = database;
  const text = (name: string) => {
    const value = properties[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  return {
    encoding: text('encoding') ?? 'UTF8',
    row: {
      datcollate: text('collate'),
      datctype: text('ctype'),
      datlocprovider: PROVIDERS[text('localeProvider') ?? ''],
      datlocale: text('locale'),
      daticurules: text('icuRules'),
    },
    tablespace: 'pg_default',
    tablespaceIsDefault: true,
  };
}
