import os from 'node:os';
import { expect, it } from 'vitest';
import type { JsonValue } from '../core/canonical-json.ts';
import { digestOf } from '../core/digest.ts';
import type { StkEvent } from '../core/events.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import { RecordCache } from '../sources/record-cache.ts';
import { rememberInputs, sayWhatChanged, type MissedStep } from './changed-inputs.ts';
import type { ImageStep } from './image-steps.ts';

const RUN = {
  script: 'make',
  imports: [{ key: 'a', at: '/stacker/imports/a' }],
  binds: [{ dest: '/src', content: 'c' }],
  environment: { A: 'secret-1' },
  network: 'host',
};

function missed(inputs: JsonValue = RUN, rest: Partial<MissedStep> = {}): MissedStep {
  const step: ImageStep = { kind: 'run', role: 'run', label: 'run', inputs };
  const below = { base: digestOf('base'), layers: [] };
  return {
    image: 'app',
    platform: { os: 'linux', architecture: 'amd64' },
    step,
    below,
    packing: 'zstd',
    epochSeconds: 1,
    ...rest,
  };
}

/** What is said, by level, of a step that was done before. */
async function said(before: MissedStep | undefined, now: MissedStep): Promise<readonly string[]> {
  await using directory = await makeTempDir(os.tmpdir(), 'stk-inputs');
  const records = new RecordCache(directory.path);
  if (before) await rememberInputs(records, before);
  const lines: string[] = [];
  const emit = (event: StkEvent): void => {
    if (event.type === 'message') lines.push(`${event.level} ${event.group} ${event.text}`);
  };
  await sayWhatChanged(records, now, emit);
  return lines;
}

it('has no reason for a step that is new', async () => {
  expect(await said(undefined, missed())).toEqual([]);
  expect(await said(missed(RUN, { image: 'other' }), missed())).toEqual([]);
});

it.each<[string, MissedStep]>([
  ['the script changed', missed({ ...RUN, script: 'make all' })],
  ['the import /stacker/imports/a changed', missed({ ...RUN, imports: [{ key: 'b', at: '/stacker/imports/a' }] })],
  ['the bind /src changed', missed({ ...RUN, binds: [{ dest: '/src', content: 'd' }] })],
  ['the bind /src is gone', missed({ ...RUN, binds: [] })],
  ['the variable A changed', missed({ ...RUN, environment: { A: 'secret-2' } })],
  ['the variable B is new', missed({ ...RUN, environment: { A: 'secret-1', B: '' } })],
  ['network changed', missed({ ...RUN, network: 'none' })],
  ['the base changed', missed(RUN, { below: { base: digestOf('new'), layers: [] } })],
  ['a layer of an earlier step changed', missed(RUN, { below: { base: digestOf('base'), layers: [null] } })],
  ['compression or verity changed', missed(RUN, { packing: 'xz' })],
  ['SOURCE_DATE_EPOCH changed', missed(RUN, { epochSeconds: undefined })],
  ['its layer is no longer in the layout', missed()],
])('says that %s', async (reason, now) => {
  expect(await said(missed(), now)).toEqual([`info app run: not cached: ${reason}`]);
});

it('names two of many changes, and all of them for debugging', async () => {
  const now = missed({ ...RUN, script: 'x', binds: [], network: 'none' });
  expect(await said(missed(), now)).toEqual([
    'info app run: not cached: the script changed, network changed, and 1 more',
    'debug app run: not cached: the script changed, network changed, the bind /src is gone',
  ]);
});
