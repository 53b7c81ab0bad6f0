import { nearestFirst } from '../config/nearest.ts';
import { DropbackError, messageOf } from '../runtime/errors.ts';
import { type ReservedAddress, reservedBy } from './reserved.ts';
import type { ContainerRuntime, ContainerSummary } from './runtime.ts';
import { parseSelector, type Selector } from './selectors.ts';

/** How many existing names an error lists. */
const NAMES_SHOWN = 12;

export interface TargetRules {
  /** DROPBACK_PROJECT: where `service:` and `label:` look. */
  readonly project: string | undefined;
  /** Id (or its beginning) of the container that this process runs in: never a target. */
  readonly ownId: string | undefined;
  /** Where the database and the proxy of Docker's socket are: never targets either. */
  readonly reserved: readonly ReservedAddress[];
}

/**
 * The exact names that the selectors stand for, in their order, each once. Exact names need no more
 * than inspect, so that a filtering proxy may keep the list to itself.
 *
 * Throws `containers/not-found` (facts: missing, existing), naming the containers that do exist,
 * nearest first; `containers/unsuitable` for ourselves, for `--rm` containers, which a stop would
 * delete, and for those that a restore needs meanwhile; and what the runtime throws.
 */
export async function resolveTargets(
  selectors: readonly string[],
  rules: TargetRules,
  runtime: ContainerRuntime,
  signal: AbortSignal,
): Promise<string[]> {
  const parsed = selectors.map((text) => ({ text, selector: parseSelector(text) }));
  const needsList = parsed.some(({ selector }) => selector.kind !== 'name');
  const listed = needsList ? await listProject(rules, runtime, signal) : [];
  const names = new Set<string>();
  const missing: string[] = [];
  for (const { text, selector } of parsed) {
    const found = selector.kind === 'name' ? [selector.name] : select(selector, listed);
    if (found.length === 0) missing.push(text);
    for (const name of found) names.add(name);
  }
  for (const name of names) {
    const state = await runtime.inspect(name, signal);
    if (!state) {
      missing.push(name);
      continue;
    }
    if (rules.ownId !== undefined && state.id.startsWith(rules.ownId)) throw ourselves(name);
    if (state.autoRemove) throw selfRemoving(name);
    const needed = await reservedBy(state, rules.reserved);
    if (needed) throw neededMeanwhile(name, needed);
  }
  if (missing.length > 0) throw await notFoundError(missing, rules, runtime, signal);
  return [...names];
}

function listProject(
  rules: TargetRules,
  runtime: ContainerRuntime,
  signal: AbortSignal,
): Promise<ContainerSummary[]> {
  if (rules.project !== undefined) return runtime.list(rules.project, signal);
  throw new DropbackError('containers/no-project', 'service: and label: need a Compose project', {
    hint: 'set DROPBACK_PROJECT to the name that docker compose ls shows.',
  });
}

function select(selector: Selector, listed: readonly ContainerSummary[]): string[] {
  return listed
    .filter(({ labels }) => labels['com.docker.compose.oneoff'] !== 'True')
    .filter(({ labels }) => {
      if (selector.kind === 'service') {
        return labels['com.docker.compose.service'] === selector.service;
      }
      return selector.kind === 'label' && labels[selector.key] === selector.value;
    })
    .sort((a, b) => replica(a) - replica(b) || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name);
}

function replica({ labels }: ContainerSummary): number {
  return Number(labels['com.docker.compose.container-number'] ?? 0);
}

/** The error for names and selectors that match nothing; says which containers there are. */
async function notFoundError(
  missing: readonly string[],
  rules: TargetRules,
  runtime: ContainerRuntime,
  signal: AbortSignal,
): Promise<DropbackError> {
  const shown = missing.map((text) => JSON.stringify(text)).join(', ');
  const one = missing.length === 1 ? 'no container matches' : 'no containers match';
  const { existing, hint } = await whatExists(missing, rules, runtime, signal);
  return new DropbackError('containers/not-found', `${one} ${shown}`, {
    hint,
    facts: { missing, existing },
  });
}

async function whatExists(
  missing: readonly string[],
  rules: TargetRules,
  runtime: ContainerRuntime,
  signal: AbortSignal,
): Promise<{ existing: string[]; hint: string }> {
  try {
    const selects = missing.some((text) => parseSelector(text).kind !== 'name');
    const project = selects ? rules.project : undefined;
    const listed = await runtime.list(project, signal);
    const own = (id: string) => rules.ownId !== undefined && id.startsWith(rules.ownId);
    const names = listed.filter(({ id }) => !own(id)).map(({ name }) => name);
    const wanted = (missing[0] ?? '').replace(/^(service:|label:[^=]*=)/, '');
    const existing = nearestFirst(wanted, names);
    if (existing.length === 0) {
      const hint = project
        ? `the project ${project} has no other container: check DROPBACK_PROJECT, or start the application once.`
        : 'there is no other container: start the application once.';
      return { existing, hint };
    }
    const more = existing.length > NAMES_SHOWN ? ` and ${existing.length - NAMES_SHOWN} more` : '';
    const shown = existing.slice(0, NAMES_SHOWN).join(', ');
    return { existing, hint: `these exist, the most similar first: ${shown}${more}.` };
  } catch (error) {
    const reason = messageOf(error);
    return { existing: [], hint: `which containers exist could not be asked: ${reason}` };
  }
}

function ourselves(name: string): DropbackError {
  return new DropbackError('containers/unsuitable', `the container ${name} is this daemon itself`, {
    hint: 'name the containers of the application; a daemon that stops itself starts nothing again.',
    facts: { container: name },
  });
}

function neededMeanwhile(name: string, { what, host }: ReservedAddress): DropbackError {
  return new DropbackError(
    'containers/unsuitable',
    `the container ${name} is ${what} (${host}): a restore needs it while the application is stopped`,
    {
      hint: 'name the containers of the application alone; what else is connected to the database is disconnected by the restore.',
      facts: { container: name, host },
    },
  );
}

function selfRemoving(name: string): DropbackError {
  return new DropbackError(
    'containers/unsuitable',
    `the container ${name} was made with --rm: it would be deleted when it is stopped`,
    {
      hint: 'create it without --rm (Compose services never have it).',
      facts: { container: name },
    },
  );
}
