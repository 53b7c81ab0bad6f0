// An application: opens the database, writes every few milliseconds, ends with its standard input.
import Database from 'better-sqlite3';

const [path, everyMs] = process.argv.slice(2);
if (path === '--version') {
  new Database(':memory:').close();
  process.exit(0);
}
const database = new Database(path, { timeout: 5000 });
database.exec('CREATE TABLE IF NOT EXISTS ticks (n INTEGER PRIMARY KEY, twice INTEGER)');
let written = 0;
const failures = [];
function write() {
  try {
    database
      .prepare('INSERT INTO ticks (twice) SELECT 2 * (coalesce(max(n), 0) + 1) FROM ticks')
      .run();
    written++;
  } catch (error) {
    failures.push(error.code);
  }
}
if (Number(everyMs) > 0) setInterval(write, Number(everyMs));
process.stdin.resume().on('end', () => {
  database.close();
  console.log(JSON.stringify({ written, failures }));
  process.exit(0);
});
console.log('open');
