import { AsyncScope } from '../../../core/async-scope.ts';
import { canonicalJson, type JsonValue } from '../../../core/canonical-json.ts';
import { byteString } from '../../../core/host-text.ts';
import { imagePath } from '../../../core/paths.ts';
import { diffTrees, type TreeChange } from '../../../apply/diff-trees.ts';
import type { Descriptor, ImageConfig } from '../../../oci/descriptor.ts';
import { OpenLayers } from '../../../lazy/open-layers.ts';
import { EXIT } from '../../exit-status.ts';
import type { Session } from '../../session.ts';
import {
  JsonDiff,
  TextDiff,
  type DiffHead,
  type DiffTotals,
  type LayerChanges,
  type SettingChange,
} from './diff-report.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { findNamed, imageName } from '../images/image-names.ts';
import { readableLayers } from '../images/readable-layers.ts';

export interface DiffFlags extends ImageFlags {
  readonly json?: boolean;
  readonly stat?: boolean;
  readonly exitCode?: boolean;
}

/** `stk diff OLD NEW [PATH…]`: layers, settings and paths that differ; reads no layer that both have. */
export async function runDiff(
  session: Session,
  refs: readonly [string, string],
  paths: readonly string[],
  flags: DiffFlags,
): Promise<number> {
  const { signal } = session;
  const scope = new AsyncScope();
  try {
    const [before, after] = [
      await findNamed(session, imageName(refs[0], flags), flags, scope),
      await findNamed(session, imageName(refs[1], flags), flags, scope),
    ];
    const layers = layerChanges(before.manifest.layers, after.manifest.layers);
    const settings = settingChanges(before.config, after.config);
    const head: DiffHead = { before, after, layers, settings };
    const report = flags.json
      ? new JsonDiff(session.stdout, head)
      : new TextDiff(session.stdout, head, flags.stat === true);
    const totals: DiffTotals = { added: 0, removed: 0, changed: 0, bytesBefore: 0, bytesAfter: 0 };
    const sameLayers = layers.gone.length + layers.fresh.length === 0 && layers.sameOrder;
    const opened = scope.use(new OpenLayers());
    await report.begin();
    if (!sameLayers) {
      const changes = diffTrees({
        before: await opened.stack(before.store, readableLayers(before), signal),
        after: await opened.stack(after.store, readableLayers(after), signal),
        paths: paths.map(path => imagePath(byteString(path))),
        signal,
      });
      for await (const change of changes) {
        count(totals, change);
        await report.change(change);
      }
    }
    await report.end(totals);
    const different = totals.added + totals.removed + totals.changed + settings.length > 0;
    return flags.exitCode && different ? EXIT.differs : EXIT.ok;
  } finally {
    await scope[Symbol.asyncDispose]();
  }
}

function layerChanges(before: readonly Descriptor[], after: readonly Descriptor[]): LayerChanges {
  const digests = (list: readonly Descriptor[]) => new Set(list.map(layer => layer.digest));
  const [old, now] = [digests(before), digests(after)];
  const kept = before.filter(layer => now.has(layer.digest));
  const still = after.filter(layer => old.has(layer.digest));
  return {
    gone: before.filter(layer => !now.has(layer.digest)),
    fresh: after.filter(layer => !old.has(layer.digest)),
    shared: kept.length,
    sameOrder: kept.length === still.length && kept.every((layer, index) => layer.digest === still[index]!.digest),
  };
}

/** Members of the configuration's `config`, and the platform. */
function settingChanges(before: ImageConfig, after: ImageConfig): readonly SettingChange[] {
  const values = ({ config, os, architecture, variant }: ImageConfig): Record<string, JsonValue | undefined> => ({
    ...(config as Record<string, JsonValue | undefined> | undefined),
    platform: [os, architecture, variant ?? ''],
  });
  const [old, now] = [values(before), values(after)];
  const isEmpty = (value: JsonValue | undefined) =>
    value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);
  return [...new Set([...Object.keys(old), ...Object.keys(now)])].toSorted().flatMap(name => {
    const [left, right] = [old[name], now[name]];
    if (isEmpty(left) && isEmpty(right)) return [];
    if (left !== undefined && right !== undefined && canonicalJson(left) === canonicalJson(right)) return [];
    return [{ name, before: left, after: right }];
  });
}

function count(totals: DiffTotals, { before, after }: TreeChange): void {
  totals[before === undefined ? 'added' : after === undefined ? 'removed' : 'changed']++;
  if (before?.inode.type === 'file') totals.bytesBefore += before.inode.size;
  if (after?.inode.type === 'file') totals.bytesAfter += after.inode.size;
}
