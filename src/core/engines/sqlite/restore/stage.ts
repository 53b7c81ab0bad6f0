import { open } from 'node:fs/promises';
import type { UnpackedDrop } from '../../../archive/unpacked.ts';
import { DropbackError } from '../../../runtime/errors.ts';
import { requireProgram } from '../../../runtime/process/find-program.ts';
import { runPipeline } from '../../../runtime/process/pipeline.ts';
import type { Inspection, StepContext } from '../../engine.ts';
import type { SqliteTool } from '../tool-client.ts';
import { readContent } from './content.ts';
import { actorOf, folderOf, type SqliteState } from './state.ts';

/**
 * Copies the content beside the live file, as its owner, and makes it ready to take its place. The
 * daemon opens the content, the owner's program reads that descriptor: neither needs the other's
 * rights.
 */
export async function stage(
  tool: SqliteTool,
  state: SqliteState,
  drop: UnpackedDrop,
  inspection: Inspection,
  context: StepContext,
): Promise<{ state: SqliteState; warnings: string[] }> {
  const { signal, save } = context;
  const runAs = actorOf(state);
  const options = { runAs, signal, temporaryFolder: folderOf(state) };
  const content = await contentFile(tool, drop, inspection, context);
  const bytes = Number(inspection.details['bytes']);
  await save(state);
  const { identity } = await tool.ask('create', { path: state.staging, needBytes: bytes }, options);
  const created: SqliteState = { ...state, stagingIdentity: identity };
  await save(created);
  await using source = await open(content, 'r');
  const dd = {
    name: 'dd',
    file: requireProgram('dd', 'coreutils'),
    args: [`of=${state.staging}`, 'conv=notrunc,fsync', 'bs=1M', 'status=none'],
    ...(runAs ? { runAs } : {}),
  };
  await runPipeline([dd], { signal, stdinFd: source.fd });
  const { mode, pageSize, staging } = state;
  const [copied] = await tool.ask('identify', { paths: [staging] }, options);
  if (copied?.bytes !== bytes || copied.identity !== identity) throw notCopied(staging, bytes);
  const { warnings } = await tool.ask('prepare', { path: staging, pageSize, mode }, options);
  context.progress(1);
  const staged: SqliteState = { ...created, phase: 'staged' };
  await save(staged);
  return { state: staged, warnings: [...warnings] };
}

async function contentFile(
  tool: SqliteTool,
  drop: UnpackedDrop,
  inspection: Inspection,
  context: StepContext,
): Promise<string> {
  const known = String(inspection.details['content']);
  const isThere = await open(known, 'r').then(
    async (file) => {
      await file.close();
      return true;
    },
    () => false,
  );
  if (isThere) return known;
  return (await readContent(tool, drop, inspection.stagingBudgetBytes, context)).path;
}

function notCopied(path: string, bytes: number): DropbackError {
  return new DropbackError('restore/staging-incomplete', `${path} does not have ${bytes} bytes`, {
    hint: 'something else writes to the folder of the database, or the disk fails.',
  });
}
