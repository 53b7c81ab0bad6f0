// An application: writes a pair of rows in one transaction every 10 ms, ends on SIGTERM, and says
// as JSON how many pairs it wrote and what went wrong. Needs Node alone, also in a container.
import { DatabaseSync } from 'node:sqlite';

const database = new DatabaseSync(process.argv[2]);
database.exec('PRAGMA busy_timeout = 20000');
database.exec(
  'CREATE TABLE IF NOT EXISTS ticks_a (n INTEGER PRIMARY KEY); CREATE TABLE IF NOT EXISTS ticks_b (n INTEGER PRIMARY KEY)',
);
let written = 0;
const failures = [];
setInterval(() => {
  try {
    database.exec(
      'BEGIN IMMEDIATE; INSERT INTO ticks_a DEFAULT VALUES; INSERT INTO ticks_b DEFAULT VALUES; COMMIT',
    );
    written++;
    if (written === 1) console.log('writing');
  } catch (error) {
    failures.push(error.message);
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}, 10);
process.on('SIGTERM', () => {
  database.close();
  console.log(JSON.stringify({ written, failures }));
  process.exit(0);
});
