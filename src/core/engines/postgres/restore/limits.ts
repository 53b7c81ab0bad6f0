import type { ProgramLimits } from '../../../runtime/process/program.ts';

const GIB = 1024 ** 3;

/**
 * A row or statement that is held whole has a gigabyte at most; a header that declares more is no
 * reason to ask for it.
 */
const MEMORY_BYTES = 2 * GIB;

/** Programs that load a foreign file: they talk to the server, and write no file at all. */
export const LOAD_LIMITS: ProgramLimits = { addressBytes: MEMORY_BYTES, fileBytes: 0 };

/** pg_restore, where it writes an archive's definitions into a file of ours. */
export const READ_LIMITS: ProgramLimits = { addressBytes: MEMORY_BYTES, fileBytes: GIB };
