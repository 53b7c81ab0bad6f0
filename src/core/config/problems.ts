import { DropbackError } from '../runtime/errors.ts';

/** One thing that is wrong with what the user set. Never holds the value of a secret. */
export interface ConfigProblem {
  /** The variable's name, as the user wrote it. */
  readonly variable: string;
  /** What is wrong, lowercase. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}

/** sysexits.h EX_CONFIG: what the programs exit with on `config/invalid`. */
export const EXIT_CONFIG = 78;

/**
 * All problems at once, as one error with code `config/invalid` (facts: `problems`, `warnings`: a
 * variable that is missing may be there under a mistyped name).
 */
export function configError(
  problems: readonly ConfigProblem[],
  warnings: readonly string[] = [],
): DropbackError {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  const all = problems.map(({ variable, message }) => `${variable} ${message}`).join('; ');
  return new DropbackError('config/invalid', `the configuration has ${count}: ${all}`, {
    hint: problems.map(({ variable, hint }) => `${variable}: ${hint}`).join(' '),
    facts: { problems, warnings },
  });
}

/** The problems of a `config/invalid` error; undefined for any other error. */
export function configProblems(error: unknown): readonly ConfigProblem[] | undefined {
  if (!(error instanceof DropbackError) || error.code !== 'config/invalid') return undefined;
  return error.facts['problems'] as readonly ConfigProblem[];
}

/** For a terminal: one paragraph a problem, names first. Undefined as configProblems is. */
export function explainConfigError(error: unknown): string | undefined {
  const problems = configProblems(error);
  if (!problems) return undefined;
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  const lines = problems.map(
    ({ variable, message, hint }) =>
      `  ${variable} ${message}\n    → ${hint.replaceAll('\n', '\n      ')}`,
  );
  const warnings = (error as DropbackError).facts['warnings'] as readonly string[];
  const notes = warnings.map((warning) => `  ${warning}`);
  return [
    `The configuration has ${count}:`,
    ...lines,
    ...(notes.length > 0 ? ['Beside that:', ...notes] : []),
  ].join('\n');
}
