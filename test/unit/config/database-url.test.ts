import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDatabaseUrl, UrlRefusal } from '../../../src/core/config/database-url.ts';

describe('a PostgreSQL URL', () => {
  const cases: [string, object][] = [
    [
      'postgresql://app:pw@db:5433/shop',
      { user: 'app', password: 'pw', host: 'db', port: '5433', database: 'shop' },
    ],
    ['postgres://app@db/shop', { user: 'app', host: 'db', database: 'shop' }],
    [
      'postgresql+psycopg2://app:pw@db/shop',
      { user: 'app', password: 'pw', host: 'db', database: 'shop' },
    ],
    [
      'POSTGRESQL+asyncpg://app@db/shop?ssl=true',
      { user: 'app', host: 'db', database: 'shop', sslMode: 'require' },
    ],
    [
      'postgresql://app:p%40s%3As%2Fs%25@db/shop',
      { user: 'app', password: 'p@s:s/s%', host: 'db', database: 'shop' },
    ],
    [
      'postgresql://app:p@ss:w#rd@db/shop',
      { user: 'app', password: 'p@ss:w#rd', host: 'db', database: 'shop' },
    ],
    [
      'postgresql://app:pw@[2001:db8::1]:5432/shop',
      { user: 'app', password: 'pw', host: '2001:db8::1', port: '5432', database: 'shop' },
    ],
    ['postgresql:///shop?host=/run/postgresql', { database: 'shop', host: '/run/postgresql' }],
    ['postgresql://app@%2Frun%2Fpg/shop', { user: 'app', host: '/run/pg', database: 'shop' }],
    [
      'postgresql://db?user=app&password=p%26w&dbname=shop&port=1',
      { host: 'db', user: 'app', password: 'p&w', database: 'shop', port: '1' },
    ],
    [
      'postgresql://app@db/shop?sslmode=verify-full&sslrootcert=/ca&sslcert=/c&sslkey=/k',
      {
        user: 'app',
        host: 'db',
        database: 'shop',
        sslMode: 'verify-full',
        sslRootCert: '/ca',
        sslCert: '/c',
        sslKey: '/k',
      },
    ],
    [
      'postgresql://app@db/shop?connect_timeout=3&application_name=x',
      { user: 'app', host: 'db', database: 'shop' },
    ],
  ];
  it.each(cases)('%s', (text, parts) => {
    expect(parseDatabaseUrl(text)).toEqual({ kind: 'postgres', parts, warnings: [] });
  });

  it('warns of parameters that it does not know, by name where that is one', () => {
    const url = parseDatabaseUrl('postgresql://app@db/shop?schema=public&p%3Dw=1');
    expect(url.warnings).toEqual([
      'the parameter schema of the URL is not used',
      'a parameter of the URL is not used',
    ]);
  });

  const refused = [
    'postgresql://app:s3cret/x@db/shop',
    'postgresql://app:s3cret?x@db/shop',
    'postgresql://app:s3cret%zz@db/shop',
    'postgresql://app:s3cret@a,b/shop',
    'postgresql://app:s3cret@db:port/shop',
    'postgresql://app:s3cret@db/shop/more',
    'postgresql://app:s3cret@db/shop%00',
    'postgresql://app:s3cret@db\n/shop',
    'mysql://app:s3cret@db/shop',
    's3cret',
  ];
  it.each(refused)('refuses %j without repeating it', (text) => {
    let refusal: unknown;
    try {
      parseDatabaseUrl(text);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(UrlRefusal);
    const { message, hint } = refusal as UrlRefusal;
    expect(`${message} ${hint}`).not.toContain('s3cret');
  });

  it('gives back whatever was percent-encoded', () => {
    const word = fc
      .string({ minLength: 1, unit: 'grapheme' })
      .filter((text) => !/\p{Cc}/u.test(text));
    fc.assert(
      fc.property(
        word,
        word,
        word,
        word,
        fc.integer({ min: 1, max: 65535 }),
        (user, password, host, database, port) => {
          const code = encodeURIComponent;
          const text = `postgresql://${code(user)}:${code(password)}@${code(host)}:${port}/${code(database)}`;
          const parts = { user, password, host, port: String(port), database };
          expect(parseDatabaseUrl(text)).toEqual({ kind: 'postgres', parts, warnings: [] });
        },
      ),
    );
  });

  it('never throws anything but a refusal', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('postgresql://', 'sqlite://', ''),
        fc.string(),
        (scheme, text) => {
          try {
            parseDatabaseUrl(scheme + text);
          } catch (error) {
            expect(error).toBeInstanceOf(UrlRefusal);
          }
        },
      ),
    );
  });
});

describe('a SQLite URL', () => {
  it.each([
    ['sqlite:////data/app.db', '/data/app.db'],
    ['sqlite:///app.db', 'app.db'],
    ['sqlite+aiosqlite:////data/a%20b.db?timeout=3', '/data/a b.db'],
    ['sqlite:////data/100%.db', '/data/100%.db'],
  ])('%s', (text, path) => {
    expect(parseDatabaseUrl(text)).toEqual({ kind: 'sqlite', path, warnings: [] });
  });

  it.each(['sqlite://', 'sqlite:///', 'sqlite://app.db', 'sqlite:///:memory:', 'sqlite:////data/'])(
    'refuses %s',
    (text) => {
      expect(() => parseDatabaseUrl(text)).toThrow(UrlRefusal);
    },
  );
});
