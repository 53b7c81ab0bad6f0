import type { HealthReport } from '../observability/health-server.ts';
import type { Alerting } from './open-alerts.ts';

/** What the health endpoint says of alerts: how they fare, and those that another daemon fetches. */
export function withAlerts(report: HealthReport, { status, relayed }: Alerting): HealthReport {
  const alerts = status();
  return {
    ...report,
    ...(alerts ? { status: { ...report.status, alerts } } : {}),
    ...(relayed ? { alerts: relayed } : {}),
  };
}
