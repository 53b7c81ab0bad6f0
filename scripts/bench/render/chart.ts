export interface Bar {
  readonly label: string;
  /** Median, smallest and largest; seconds. */
  readonly value: number;
  readonly least: number;
  readonly most: number;
  readonly isOurs: boolean;
}

const WIDTH = 760;
const LABELS = 300;
const ROW = 30;
const TOP = 44;

/** Horizontal bars from zero, with a whisker from the fastest repetition to the slowest. */
export function barChart(title: string, bars: readonly Bar[]): string {
  const longest = Math.max(...bars.map(({ most }) => most), Number.MIN_VALUE);
  const scale = (WIDTH - LABELS - 90) / longest;
  const height = TOP + bars.length * ROW + 12;
  const rows = bars.map((bar, index) => row(bar, TOP + index * ROW, scale));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    '<g font-family="system-ui, sans-serif" font-size="13" fill="#1f2328">',
    `<text x="12" y="24" font-size="15" font-weight="600">${escaped(title)}</text>`,
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function row({ label, value, least, most, isOurs }: Bar, y: number, scale: number): string {
  const x = (seconds: number) => (LABELS + seconds * scale).toFixed(1);
  const middle = y + ROW / 2 - 2;
  return [
    `<text x="${LABELS - 8}" y="${middle + 4}" text-anchor="end"${isOurs ? ' font-weight="600"' : ''}>${escaped(label)}</text>`,
    `<rect x="${LABELS}" y="${y + 3}" width="${(value * scale).toFixed(1)}" height="${ROW - 10}" rx="2" fill="${isOurs ? '#0969da' : '#afb8c1'}"/>`,
    `<path d="M${x(least)} ${middle}H${x(most)}" stroke="#1f2328" stroke-width="1.5"/>`,
    `<text x="${Number(x(most)) + 8}" y="${middle + 4}">${value < 10 ? value.toFixed(2) : value.toFixed(1)} s</text>`,
  ].join('');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
