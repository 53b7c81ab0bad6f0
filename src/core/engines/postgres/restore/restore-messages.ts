/** What pg_restore says when it tells a server before 17 of a setting that it can't know. */
const TOLERATED =
  /^pg_restore: error: could not execute query: ERROR: {2}unrecognized configuration parameter "transaction_timeout"$/;
const ITS_COMMAND = 'Command was: SET transaction_timeout = 0;';
const ERROR = /^pg_restore: error:/;
const WARNING = /^(?:pg_restore: )?warning: |^WARNING: /i;
const IGNORED = /errors ignored on restore: \d+/;
const MOST_KEPT = 50;

/**
 * Judges pg_restore's standard error line by line. An archive of 17 or newer on an older server
 * can't be loaded without one particular pair of lines; any other error is an error.
 */
export class RestoreMessages {
  readonly errors: string[] = [];
  readonly warnings: string[] = [];
  /** Pairs of lines of the tolerated kind. */
  tolerated = 0;
  #awaitsCommand: string | undefined;

  push(line: string): void {
    const awaited = this.#awaitsCommand;
    this.#awaitsCommand = undefined;
    if (awaited !== undefined) {
      if (line === ITS_COMMAND) {
        this.tolerated += 1;
        return;
      }
      this.#keep(this.errors, awaited);
    }
    if (TOLERATED.test(line)) this.#awaitsCommand = line;
    else if (ERROR.test(line)) this.#keep(this.errors, line);
    else if (WARNING.test(line) && !IGNORED.test(line)) this.#keep(this.warnings, line);
  }

  /** Call once, when the program has exited. */
  end(): void {
    if (this.#awaitsCommand !== undefined) this.#keep(this.errors, this.#awaitsCommand);
    this.#awaitsCommand = undefined;
  }

  /** Exit code 1 is then the tolerated pair's alone. */
  get onlyTolerated(): boolean {
    return this.errors.length === 0 && this.tolerated > 0;
  }

  #keep(list: string[], line: string): void {
    if (list.length < MOST_KEPT) list.push(line);
  }
}
