/** A name for a copy of an own archive, with the ending that its form asks for: `again.tar`. */
export function dropName(stem: string, archive: string): string {
  const ending = /Z(\.[a-z.]+)$/.exec(archive)?.[1];
  if (ending === undefined) throw new Error(`not the name of an archive: ${archive}`);
  return stem + ending;
}
