import type { DatabaseConfig } from '../config/config.ts';
import { describeConnection } from './postgres/environment.ts';

/** For messages, without a password, as its engine describes it: `sqlite:////data/app.db`. */
export function databaseAddress(database: DatabaseConfig): string {
  if (database.kind === 'sqlite') return `sqlite:///${database.path}`;
  return describeConnection(database.connection);
}
