/** What pg_restore says when it tells a server before 17 of a setting that it can't know. */
const TOLERATED =
  /^could not execute query: ERROR: {2}unrecognized configuration parameter "transaction_timeout"$/;
const ITS_COMMAND = 'Command was: SET transaction_timeout = 0;';
/**
 * pg_restore writes the name, the level and the message one after the other: what several workers say
 * at once may have two heads on one line, and none on the next. A message itself stays whole.
 */
const HEAD = /^(?:\s*(?:pg_restore|error):)*\s*/;
/** Where an error is, and no error. */
const PLACE = /^(?:while [A-Z ]+:|from TOC entry \d+; )/;
/** How errors begin, should their head have gone to another line. */
const BEHEADED = /^(?:could not |COPY failed |error returned |a worker process )/;
const WARNING = /^warning: /i;
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
    const head = HEAD.exec(line)?.[0] ?? '';
    const message = line.slice(head.length);
    if (PLACE.test(message) || message === '') return;
    if (TOLERATED.test(message)) this.#awaitsCommand = line;
    else if (WARNING.test(message)) {
      if (!IGNORED.test(message)) this.#keep(this.warnings, line);
    } else if (head.includes('error:') || BEHEADED.test(message)) this.#keep(this.errors, line);
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
