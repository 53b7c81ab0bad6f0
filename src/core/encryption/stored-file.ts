import { constants, open } from 'node:fs/promises';
import { errorReport } from '../runtime/errors.ts';
import { readAgeHeader } from './age-header.ts';

/**
 * What is wrong with an encrypted archive as it lies there, as far as that shows without an
 * identity: that it is one, and for how many recipients. Empty when nothing is.
 */
export async function storedFileProblems(path: string, recipients: number): Promise<string[]> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const header = await readAgeHeader(file);
    // Newer versions of age may add a stanza that is nobody's.
    if (header.recipients >= recipients) return [];
    return [`it is encrypted to ${header.recipients} recipients instead of ${recipients}`];
  } catch (error) {
    return [errorReport(error).message];
  }
}
