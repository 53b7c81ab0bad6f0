const LEVELS = '▁▂▃▄▅▆▇█';

/** One character a value, from the smallest to the largest; a level line in the middle. */
export function sparkline(values: readonly number[]): string {
  const least = Math.min(...values);
  const span = Math.max(...values) - least;
  const top = LEVELS.length - 1;
  const level = (value: number) => (span === 0 ? 3 : Math.round(((value - least) / span) * top));
  return values.map((value) => LEVELS[level(value)]).join('');
}
