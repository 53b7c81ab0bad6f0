import type { ContainerInspectInfo } from 'dockerode';
import type { ContainerState } from './runtime.ts';

/** What inspect said, in the runtime's words. */
export function stateOf(info: ContainerInspectInfo, name: string): ContainerState {
  const { State: state, Config: config } = info;
  const status = state.Status as ContainerState['status'];
  return {
    id: info.Id,
    name,
    labels: config.Labels ?? {},
    running: isUp(status),
    status,
    health: (state.Health?.Status ?? 'none') as ContainerState['health'],
    exitCode: state.ExitCode,
    autoRemove: info.HostConfig.AutoRemove === true,
    addresses: addressesOf(info),
    publishedPorts: publishedPortsOf(info),
    startedAt: state.StartedAt,
    image: config.Image,
  };
}

function addressesOf({ NetworkSettings: settings }: Partial<ContainerInspectInfo>): string[] {
  return Object.values(settings?.Networks ?? {})
    .flatMap(({ IPAddress, GlobalIPv6Address }) => [IPAddress, GlobalIPv6Address])
    .filter((address) => address);
}

function publishedPortsOf({ NetworkSettings: settings }: Partial<ContainerInspectInfo>): number[] {
  const bindings = Object.values(settings?.Ports ?? {}).flatMap((ports) => ports ?? []);
  return bindings.map(({ HostPort }) => Number(HostPort));
}

/** Paused and restarting ones hold the database too, and come back by themselves. */
export function isUp(status: string): boolean {
  return status === 'running' || status === 'paused' || status === 'restarting';
}
