// Moves what was refused out of the drop folder, as whoever started this: prints whether it could.
import { noCheckpoint } from '../../src/restore/checkpoint.ts';
import { moveAside } from '../../src/restore/drop-folder/filing.ts';
import { inPinnedFolder } from '../../src/restore/drop-folder/pinned.ts';

const [path, folder] = process.argv.slice(2) as [string, string];
const moved = await inPinnedFolder(Buffer.from(path), (pinned) =>
  moveAside(pinned, { folder, name: 'refused' }, noCheckpoint),
);
console.log(JSON.stringify({ moved }));
