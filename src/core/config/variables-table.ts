import { type Section, sectionTitles, variables } from './variables.ts';

/** The README's tables of variables, in Markdown. */
export function variablesAsMarkdown(): string {
  const sections = Object.keys(sectionTitles) as Section[];
  return sections.map(sectionAsMarkdown).join('\n\n');
}

function sectionAsMarkdown(section: Section): string {
  const rows = variables
    .filter((variable) => variable.section === section)
    .map(({ name, default: standard, shownDefault, meaning, scope }) => {
      const shown = standard === undefined ? (shownDefault ?? '–') : `\`${standard}\``;
      return `| \`${name}\`${scope ? ' †' : ''} | ${shown} | ${meaning.replaceAll('|', '\\|')} |`;
    });
  return [
    `### ${sectionTitles[section]}`,
    '',
    '| name | default | meaning |',
    '|---|---|---|',
    ...rows,
  ].join('\n');
}
