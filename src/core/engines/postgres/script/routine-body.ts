/**
 * Counts BEGIN, CASE and END in CREATE [OR REPLACE] FUNCTION|PROCEDURE, as psql does, because the
 * semicolons of a BEGIN ATOMIC body don't end the statement.
 */
export class RoutineBody {
  depth = 0;
  #words = 0;
  #opening = '';
  #beginIsOpen = false;

  /** Words must be looked at even within parentheses: BEGIN has just been seen. */
  get counting(): boolean {
    return this.#words < 4 || this.#beginIsOpen;
  }

  reset(): void {
    this.depth = 0;
    this.#words = 0;
    this.#opening = '';
    this.#beginIsOpen = false;
  }

  /** A word that cannot matter. */
  pass(): void {
    this.#words++;
  }

  /** False for a BEGIN that no ATOMIC follows: psql would swallow the rest of the script. */
  word(bytes: Buffer, start: number, end: number, parentheses: number): boolean {
    const index = this.#words++;
    if (index >= 4 && this.#opening === '') return true;
    const length = end - start;
    const text = length <= 9 ? bytes.toString('latin1', start, end).toLowerCase() : '';
    if (index < 4) this.#open(text, index);
    if (this.#opening !== 'routine') return true;
    if (this.#beginIsOpen) {
      this.#beginIsOpen = false;
      return text === 'atomic';
    }
    if (parentheses === 0) this.#count(text);
    return true;
  }

  #open(text: string, index: number): void {
    const isRoutine = text === 'function' || text === 'procedure';
    if (index === 0) this.#opening = text === 'create' ? 'create' : '';
    else if (this.#opening === 'create' && index === 1 && text === 'or') this.#opening = 'or';
    else if (this.#opening === 'or' && index === 2 && text === 'replace') this.#opening = 'replace';
    else if (this.#opening === 'create' && index === 1 && isRoutine) this.#opening = 'routine';
    else if (this.#opening === 'replace' && index === 3 && isRoutine) this.#opening = 'routine';
    else if (this.#opening !== 'routine') this.#opening = '';
  }

  #count(text: string): void {
    if (text === 'begin') {
      if (this.depth === 0) this.#beginIsOpen = true;
      this.depth++;
    } else if (text === 'case') {
      if (this.depth >= 1) this.depth++;
    } else if (text === 'end') {
      if (this.depth > 0) this.depth--;
    }
  }
}
