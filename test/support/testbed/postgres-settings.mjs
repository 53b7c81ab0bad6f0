/** The settings that both test servers have. */

/** fsync stays on: the crash tests rely on it. */
export const settings = {
  max_connections: '100',
  max_prepared_transactions: '10',
  wal_level: 'logical',
  fsync: 'on',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  log_line_prefix: '%m [%p] %q%u@%d/%a ',
};

/** The settings as `-c name=value` arguments. */
export const settingArgs = Object.entries(settings).flatMap(([name, value]) => [
  '-c',
  `${name}=${value}`,
]);

/** Same locale on both, one that exists everywhere. */
export const initdbArgs = ['--encoding=UTF8', '--locale=C.UTF-8'];

/** The superuser's URL of a server. */
export function superuserUrl(host, port, password, database = 'postgres') {
  return `postgresql://postgres:${password}@${host}:${port}/${database}`;
}
