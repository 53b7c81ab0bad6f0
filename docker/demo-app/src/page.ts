import type { RecordRow } from './records.ts';

const style = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
  form { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; }
  input, button { font: inherit; padding: .4rem .7rem; }
  input[name=title] { flex: 1 1 12rem; }
  input[name=count] { width: 6rem; }
  table { border-collapse: collapse; width: 100%; }
  td, th { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid #8884; }
  td:first-child { font-variant-numeric: tabular-nums; }
`;

export function page(count: number, rows: readonly RecordRow[]): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Records</title>
<style>${style}</style>
<h1>Records</h1>
<p><strong id="count">${count}</strong> in the database; the newest are below.</p>
<form method="post" action="/records">
  <input name="title" placeholder="Title" aria-label="Title" required maxlength="200">
  <input name="count" type="number" min="1" max="10000" value="1" aria-label="How many">
  <button>Add</button>
</form>
<form method="post" action="/records/remove-all"><button>Remove all</button></form>
<table>
<tr><th>No.</th><th>Title</th><th>Added</th></tr>
${rows.map(rowOf).join('\n')}
</table>
`;
}

function rowOf({ id, title, created_at }: RecordRow): string {
  const time = created_at instanceof Date ? created_at.toISOString() : created_at;
  return `<tr><td>${id}</td><td>${escaped(title)}</td><td>${escaped(time)}</td></tr>`;
}

function escaped(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}
