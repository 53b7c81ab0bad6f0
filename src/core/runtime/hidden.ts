import { Redactor } from './redact.ts';

/**
 * What no error of this process may repeat, whoever made its text: a server, a program, a proxy in
 * between. Errors end up where nobody knows the configuration: `/status`, state files, reports, a terminal.
 */
let redactor = new Redactor([]);

/** Told once, as soon as the configuration has been read. */
export function hideInErrors(secrets: readonly string[]): void {
  redactor = Redactor.of(secrets);
}

export function hidden(text: string): string {
  return redactor.text(text);
}

/** Texts in facts of an error, JSON. */
export function hiddenIn<T>(facts: T): T {
  return redactor.isEmpty ? facts : (redactor.value(facts) as T);
}
