import { describe, expect, it } from 'vitest';
import { CONTROL_TYPES, parseToc, tocList } from '../../../src/core/engines/postgres/script/toc.ts';

const LISTING = `;
; Archive created at 2026-11-22 22:00:00 UTC
;     dbname: my db
;     TOC Entries: 20
;     Compression: gzip
;     Dump Version: 1.16-0
;     Format: CUSTOM
;     Integer: 4 bytes
;     Offset: 8 bytes
;     Dumped from database version: 18.6 (Debian 18.6-1)
;     Dumped by pg_dump version: 18.6 (Debian 18.6-1)
;
;
; Selected TOC Entries:
;
4250; 1262 16384 DATABASE - my db postgres
4251; 0 0 DATABASE PROPERTIES - my db postgres
6; 2615 16385 SCHEMA - sales app
7; 2615 2200 SCHEMA - public pg_database_owner
2; 3079 16400 EXTENSION - hstore 
4252; 0 0 COMMENT - EXTENSION hstore 
4253; 0 0 COMMENT - SCHEMA sales app
220; 1259 16500 TABLE public a table app
221; 1259 16501 TABLE my schema x own er
4254; 0 0 ACL public TABLE "a table" app
230; 1255 16600 FUNCTION sales f(integer, text) app
3000; 0 16500 TABLE DATA public a table app
3001; 0 0 SEQUENCE SET public a_seq app
3100; 2606 16700 FK CONSTRAINT public a fk app
3200; 3466 16800 EVENT TRIGGER - et postgres
3201; 0 0 COMMENT - EVENT TRIGGER et postgres
3300; 6104 16900 PUBLICATION - p app
3301; 6106 16901 PUBLICATION TABLE public p t app
3302; 0 0 COMMENT - PUBLICATION p app
3400; 826 17000 DEFAULT ACL sales DEFAULT PRIVILEGES FOR TABLES app
3500; 0 0 BLOBS - BLOBS 
`;

describe('parseToc', () => {
  const toc = parseToc(LISTING, {
    roles: ['app', 'own er', 'er'],
    schemas: ['my schema', 'sales'],
  });

  it('reads the head', () => {
    expect(toc).toMatchObject({
      databaseName: 'my db',
      format: 'CUSTOM',
      archiveVersion: '1.16-0',
      compression: 'gzip',
      databaseVersion: '18.6 (Debian 18.6-1)',
      dumpVersion: '18.6 (Debian 18.6-1)',
    });
    expect([...toc.entries]).toHaveLength(21);
  });

  it.each([
    [220, { type: 'TABLE', schema: 'public', name: 'a table', owner: 'app', ambiguous: true }],
    [221, { type: 'TABLE', schema: 'my schema', name: 'x', owner: 'own er' }],
    [230, { type: 'FUNCTION', schema: 'sales', name: 'f(integer, text)', owner: 'app' }],
    [3000, { type: 'TABLE DATA', schema: 'public', name: 'a table' }],
    [3100, { type: 'FK CONSTRAINT', name: 'a fk' }],
    [2, { type: 'EXTENSION', schema: undefined, name: 'hstore', owner: '', ambiguous: false }],
    [3400, { type: 'DEFAULT ACL', schema: 'sales', name: 'DEFAULT PRIVILEGES FOR TABLES' }],
    [3500, { type: 'BLOBS', schema: undefined, name: 'BLOBS', owner: '' }],
  ])('entry %i', (id, wanted) => {
    expect([...toc.entries].find((entry) => entry.dumpId === id)).toMatchObject(wanted);
  });

  it('refuses a line that is no entry', () => {
    expect(() => parseToc('pg_restore: error: something\n')).toThrow(/listed something unexpected/);
  });

  it('leaves out what control does, and the comments on it', () => {
    const ids = tocList(toc, { types: CONTROL_TYPES, schemas: ['public'] })
      .trim()
      .split('\n')
      .map((line) => Number(line.split(';')[0]));
    expect(ids).toEqual([6, 4253, 220, 221, 230, 3000, 3001, 3100, 3500]);
  });

  it('leaves out what else is asked for', () => {
    const list = tocList(toc, { types: [], also: (entry) => entry.dumpId !== 220 });
    expect(list).toBe('220; 1259 16500 TABLE\n');
  });
});
