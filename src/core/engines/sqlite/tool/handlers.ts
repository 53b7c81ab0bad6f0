import type { OperationName, Operations } from '../protocol.ts';

export interface Conversation {
  /** Sends one message to the daemon. */
  readonly say: (message: unknown) => void;
  /** Settles when the daemon closes standard input, or dies. */
  readonly asked: Promise<void>;
}

type Handlers = {
  readonly [K in OperationName]: (
    request: Operations[K]['request'],
    conversation: Conversation,
  ) => Promise<Operations[K]['answer']>;
};

/** Loaded one by one: an operation on files alone needs no SQLite library. */
export const handlers: Handlers = {
  version: async () => (await import('./probe.ts')).version(),
  probe: async (request) => (await import('./probe.ts')).probe(request.path),
  survey: async (request) => (await import('./survey.ts')).survey(request),
  lock: async (request, conversation) => (await import('./lock.ts')).lock(request, conversation),
  copy: async (request) => (await import('./copy.ts')).copy(request),
  remove: async (request) => (await import('./files.ts')).remove(request.paths),
  inspect: async (request) => (await import('./content.ts')).contentFacts(request.path),
  load: async (request, { say }) => (await import('./load.ts')).load(request, say),
  create: async (request) => (await import('./files.ts')).create(request),
  prepare: async (request) => (await import('./prepare.ts')).prepare(request),
  identify: async (request) => (await import('./files.ts')).identify(request.paths),
  replace: async (request) => (await import('./replace.ts')).replace(request),
  keep: async (request) => (await import('./keep.ts')).keep(request),
  overwrite: async (request) => (await import('./overwrite.ts')).overwrite(request),
  settle: async (request) => (await import('./settle.ts')).settle(request),
  compare: async (request) => (await import('./compare.ts')).compare(request),
  ask: async (request) => (await import('./ask.ts')).ask(request),
  list: async (request) => (await import('./files.ts')).list(request.folder, request.prefix),
};
