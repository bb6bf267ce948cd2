import { StkError } from '../../../core/errors.ts';
import { joinInside } from '../../../core/paths.ts';
import { mkdir, readFile, rm } from '../../../host/files.ts';
import { makeLockedDir } from '../../../host/locked-dir.ts';
import { recordedTrace } from '../../../lazy/read-trace.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { findManifest } from '../../../oci/resolve-image.ts';
import { imageReference } from '../../../stores/find-image.ts';
import { putTrace } from '../../../stores/image-traces.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { imageName } from '../images/image-names.ts';
import { runRun } from './run.ts';

export interface OptimizeFlags extends ImageFlags {
  readonly name: string;
  readonly env: readonly string[];
  readonly json?: boolean;
}

/** `stk optimize REF [COMMAND…]`: the command's exit status where it is not 0. */
export async function runOptimize(
  session: Session,
  ref: string,
  command: readonly string[],
  flags: OptimizeFlags,
): Promise<number> {
  const wanted = imageName(ref, flags);
  if (wanted.kind !== 'docker') {
    throw new StkError('usage', `${ref} is not in a registry: what is on this machine is not fetched`, {
      hint: 'publish it, then name it as docker://HOST/REPOSITORY:TAG',
    });
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(flags.name) || flags.name === 'off') {
    throw new StkError('usage', `--name ${flags.name} is no name of a trace`, {
      hint: 'up to 63 letters, digits, dots, dashes and underscores; not off',
    });
  }
  // Layers that are mounted already would not be read anew: there are none in a mount namespace of its own.
  if (!session.inside) return session.enter();
  const { signal } = session;
  const opened = await session.stores.openForChange(wanted, flags, session.scope);
  const { store } = opened;
  const platform = wanted.platform ?? hostPlatform();
  const options = { signal, exact: wanted.platform !== undefined };
  const { descriptor } = await findManifest(store, imageReference(opened), platform, options);
  const parent = joinInside(session.global.stkDir, 'run');
  await mkdir(parent, { recursive: true });
  const { path: directory } = session.scope.use(await makeLockedDir(parent, 'trace', signal));
  session.scope.defer(() => rm(directory, { recursive: true, force: true }));
  const recordTo = joinInside(directory, 'reads');
  const { name, json, ...given } = flags;
  const lazily = { recordTo, prefetch: 'off', requireLazy: true, verify: 'auto' } as const;
  const usual = { envFile: [], volume: [], tmpfs: [], network: 'host', key: [] };
  const status = await runRun(session, ref, command, { ...given, ...usual, ...lazily });
  if (status !== 0) return status;
  const trace = recordedTrace(await readFile(recordTo, 'utf8'));
  const createdAt = new Date().toISOString();
  const digest = await putTrace(store, descriptor, { name, trace, createdAt }, { signal });
  const sizeBytes = trace.reads.reduce((sum, [, , length]) => sum + length, 0);
  const text = json
    ? jsonText({ image: descriptor.digest, trace: digest, name, reads: trace.reads.length, sizeBytes })
    : printableLine(`${ref}: trace ${name} of ${trace.reads.length} reads, ${sizeBytes} bytes (${digest})`);
  session.stdout.write(`${text}\n`);
  return 0;
}
