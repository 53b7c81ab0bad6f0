// An application that writes a row every 20 ms and notes how long each took. Ends on SIGTERM and
// says as JSON how many it wrote and the longest of all, in milliseconds.
import { DatabaseSync } from 'node:sqlite';

const database = new DatabaseSync(process.argv[2] ?? '');
database.exec('PRAGMA busy_timeout = 60000; PRAGMA synchronous = NORMAL');
database.exec('CREATE TABLE IF NOT EXISTS ticks (n INTEGER PRIMARY KEY, at REAL)');
const insert = database.prepare('INSERT INTO ticks (at) VALUES (?)');
let written = 0;
let longestMs = 0;
setInterval(() => {
  const since = performance.now();
  insert.run(since);
  longestMs = Math.max(longestMs, performance.now() - since);
  written += 1;
  if (written === 1) console.log('writing');
}, 20);
process.once('SIGTERM', () => {
  database.close();
  console.log(JSON.stringify({ written, longestMs }));
  process.exit(0);
});
