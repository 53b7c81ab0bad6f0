import { isNotYetAvailable } from './not-yet.ts';
import { type Section, sectionTitles, variables } from './variables.ts';

/** The README's tables of variables, in Markdown. */
export function variablesAsMarkdown(): string {
  const sections = Object.keys(sectionTitles) as Section[];
  return sections.map(sectionAsMarkdown).join('\n\n');
}

function sectionAsMarkdown(section: Section): string {
  const rows = variables
    .filter((variable) => variable.section === section && !isNotYetAvailable(variable.name))
    .map(({ name, default: standard, shownDefault, meaning }) => {
      const shown = standard === undefined ? (shownDefault ?? '–') : `\`${standard}\``;
      return `| \`${name}\` | ${shown} | ${meaning.replaceAll('|', '\\|')} |`;
    });
  return [
    `### ${sectionTitles[section]}`,
    '',
    '| name | default | meaning |',
    '|---|---|---|',
    ...rows,
  ].join('\n');
}
