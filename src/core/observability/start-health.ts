import { type HealthReport, HealthServer } from './health-server.ts';
import type { Logger } from './log.ts';

/** The daemon's health endpoint; HEALTH_PORT=0 goes without. `reportOf`: see HealthServerOptions. */
export async function startHealth(
  port: number,
  log: Logger,
  report: () => HealthReport,
  reportOf?: (database: string) => HealthReport | undefined,
): Promise<AsyncDisposable> {
  if (port > 0) {
    return await HealthServer.start({ port, log, report, ...(reportOf ? { reportOf } : {}) });
  }
  return { async [Symbol.asyncDispose]() {} };
}
