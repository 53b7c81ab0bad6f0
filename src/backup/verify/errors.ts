import { DropbackError } from '../../core/runtime/errors.ts';

/** Of a backup that was removed while it was read: nothing is known of it, and nothing needs to be. */
export const REMOVED = 'verify/removed';

export function removed(id: string): DropbackError {
  return new DropbackError(REMOVED, `${id} was removed while it was verified`, {
    hint: 'retention, or somebody, no longer keeps it: verify another one.',
    facts: { id },
  });
}

export function unreadableHere(id: string): DropbackError {
  return new DropbackError(
    'verify/encrypted',
    `${id} is encrypted with age: it can't be restored where it was made`,
    {
      hint: `rehearse it where the identity is: \`dropback check ${id}\` in db-restore, with RESTORE_AGE_IDENTITY set.`,
      facts: { id },
    },
  );
}
