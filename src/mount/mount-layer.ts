import { StkError, isStkError, messageOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { closeVerityDevice, openVerityDevice } from '../host/tools/dm-verity.ts';
import { mountSquashfsDevice, mountSquashfsLoop, mountSquashfuse } from '../host/tools/mount.ts';
import type { AssessedLayer } from './assess-layer.ts';
import { isBlockChecked, type HostAbilities, type Method } from './choose-method.ts';
import type { ComparedFiles } from './compared-files.ts';
import { findFault } from '../layer/find-fault.ts';

export interface LayerMount {
  readonly layer: AssessedLayer;
  readonly method: Pick<Method, 'layers' | 'verity' | 'compares'>;
  /** What is mounted: the layer's own file, or one that a verifying server shows of it. */
  readonly file: AbsPath;
  /** An existing directory. */
  readonly target: AbsPath;
  /** Name for the device, where the kernel verifies the layer. */
  readonly device?: string | undefined;
  readonly compared: ComparedFiles;
  readonly signal?: AbortSignal | undefined;
}

/** Members of `HostAbilities` that may turn out to be wrong when they are used. */
type Ability = 'missingForLoop' | 'missingForDmVerity';

/**
 * Mounts one layer read-only as `chooseMethod` said: the one place where a layer's bytes are given to the kernel or to
 * squashfuse. What is not checked while it is read is compared with its digest first.
 *
 * Throws what is wrong with the layer; `missing-capability` where it is sound and the host lacks an ability that it seemed
 * to have, see `withoutLacking`.
 */
export async function mountLayer(mount: LayerMount): Promise<void> {
  const { layer, method, file, target, device, signal } = mount;
  await compareFirst(mount);
  try {
    if (device !== undefined) return await mountVerityDevice(layer, device, target, signal);
    await (method.layers === 'kernel' ? mountSquashfsLoop : mountSquashfuse)(file, target, signal);
  } catch (cause) {
    if (!isStkError(cause, 'tool-failed')) throw cause;
    // Ctrl-C ends the tools of the terminal's process group at the same moment as it reaches us.
    if (/^SIG(INT|TERM|HUP)$/.test(String(cause.facts['signal']))) {
      throw new StkError('interrupted', 'interrupted while mounting', { cause });
    }
    if (!layer.far) await findFault(layer, signal);
    if (method.layers === 'kernel') throw lacking('missingForLoop', 'the kernel does not mount the layer', cause);
    throw unmountable(layer, cause);
  }
}

/** Compares a layer that is not checked while it is read with its digest, where the method says so. */
export async function compareFirst(mount: Pick<LayerMount, 'layer' | 'method' | 'compared' | 'signal'>): Promise<void> {
  const { layer, method, compared, signal } = mount;
  if (method.compares && !isBlockChecked(method, layer)) await compared.compare(layer.file, layer.descriptor, signal);
}

async function mountVerityDevice(
  layer: AssessedLayer,
  name: string,
  target: AbsPath,
  signal: AbortSignal | undefined,
): Promise<void> {
  // One that a killed process left open would make the name taken.
  await closeVerityDevice(name).catch(() => {});
  const [hashOffset, root] = [layer.verityOffset!, layer.verityRoot!];
  const opening = openVerityDevice({ name, file: layer.file, hashOffset, root }, signal);
  const device = await opening.catch(async (cause: unknown) => {
    if (!isStkError(cause, 'tool-failed')) throw cause;
    await findFault(layer, signal);
    throw lacking('missingForDmVerity', 'this kernel opens no dm-verity device', cause);
  });
  try {
    await mountSquashfsDevice(device, target, signal);
  } finally {
    // Deferred: from here on the device goes away with the mount, however that ends.
    await closeVerityDevice(name);
  }
}

function lacking(ability: Ability, what: string, cause: StkError): StkError {
  const reason = `${what}: ${messageOf(cause)}`;
  return new StkError('missing-capability', reason, {
    cause,
    hint: 'run `stk check`: it names what this host lacks',
    facts: { ability, reason },
  });
}

/**
 * The host as it is now known, after work on it failed: without an ability that it proved to lack. Throws the error itself
 * where it says no such thing, or nothing new.
 */
export function withoutLacking(host: HostAbilities, error: unknown): HostAbilities {
  const { ability, reason } = isStkError(error, 'missing-capability') ? error.facts : {};
  if (ability !== 'missingForLoop' && ability !== 'missingForDmVerity') throw error;
  if (host[ability] !== undefined) throw error;
  return { ...host, [ability]: String(reason) };
}

function unmountable(layer: AssessedLayer, cause: StkError): StkError {
  const { digest } = layer.descriptor;
  // Which of the two it is, only the tool's words tell; an image of many layers runs into limits first.
  const limit = /mount_max|too many/i.test(messageOf(cause));
  return new StkError('tool-failed', `cannot mount layer ${digest}: ${messageOf(cause)}`, {
    cause,
    hint: limit
      ? 'too many mounts: raise mount_max in /etc/fuse.conf, or unmount other images'
      : 'the layer itself is sound; run `stk check` for what this host lacks',
    facts: { digest, path: layer.file },
  });
}
