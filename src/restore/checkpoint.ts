/**
 * Told before and after every journal write, file operation and step, by name. Does nothing in
 * production; crash tests end the process there.
 */
export type Checkpoint = (name: string) => void | Promise<void>;

export const noCheckpoint: Checkpoint = () => {};

/** Runs `operation` between the checkpoints `before <name>` and `after <name>`. */
export async function between<T>(
  checkpoint: Checkpoint,
  name: string,
  operation: () => Promise<T>,
): Promise<T> {
  await checkpoint(`before ${name}`);
  const result = await operation();
  await checkpoint(`after ${name}`);
  return result;
}
