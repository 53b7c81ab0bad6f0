import { describe, expect, test } from 'vitest';
import { Listing } from '../../../src/core/engines/postgres/script/listing.ts';
import { TocReader } from '../../../src/core/engines/postgres/script/toc.ts';

/** Everything that comes of these chunks. */
function linesOf(listing: Listing, chunks: readonly string[]): string[] {
  const lines = chunks.flatMap((chunk) => [...listing.push(Buffer.from(chunk))]);
  return [...lines, ...listing.end()];
}

describe('a listing', () => {
  test('is divided into the same lines, however it comes, as often as they are wanted', () => {
    const text = 'one\ntwo ünd drei\n\nfour';
    for (let at = 1; at < text.length; at++) {
      const listing = new Listing();
      const lines = linesOf(listing, [text.slice(0, at), text.slice(at)]);
      expect(lines).toEqual(['one', 'two ünd drei', '', 'four']);
      // Whoever stops in the middle leaves nothing behind.
      for (const line of listing.lines()) if (line === 'one') break;
      expect([...listing.lines()]).toEqual(lines);
    }
  });

  test('that is longer than it may be is refused', () => {
    const refused = { code: 'drop/too-many-objects' };
    expect(() => linesOf(new Listing(10), ['12345\n', '12345'])).toThrow(
      expect.objectContaining(refused),
    );
    const long = 'x'.repeat(50_000);
    expect(() => linesOf(new Listing(), [long, long])).toThrow(expect.objectContaining(refused));
  });
});

describe('a table of contents that comes in pieces', () => {
  const listing = `;
;     dbname: app
;
1; 0 0 ENCODING - ENCODING 
220; 1259 16500 TABLE public t app
3000; 0 16500 TABLE DATA public t app
`;

  test('is the same as one that comes as a whole', () => {
    for (let at = 1; at < listing.length; at += 7) {
      const reader = new TocReader(new Listing());
      for (const piece of [listing.slice(0, at), listing.slice(at)])
        reader.push(Buffer.from(piece));
      const toc = reader.end();
      expect(toc.databaseName).toBe('app');
      expect([...toc.types]).toEqual(['ENCODING', 'TABLE', 'TABLE DATA']);
      expect([...toc.entries].map(({ dumpId }) => dumpId)).toEqual([1, 220, 3000]);
      expect(toc.entries.filter(({ type }) => type === 'TABLE')).toHaveLength(1);
    }
  });

  test('with more kinds of objects than there are is refused', () => {
    const entries = Array.from({ length: 2000 }, (_, n) => `${n}; 0 0 KIND${n} public x app\n`);
    const reader = new TocReader(new Listing());
    expect(() => reader.push(Buffer.from(entries.join('')))).toThrow(/something unexpected/);
  });
});
