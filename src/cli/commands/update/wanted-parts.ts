import type { ConflictRule } from '../../../apply/merge-problem.ts';
import { StkError } from '../../../core/errors.ts';
import { parseImageName } from '../../../oci/image-name.ts';
import type { ForeignSwap, WantedParts } from '../../../update/find-parts.ts';
import { conflictRule } from '../../../update/update-rules.ts';

/** What of the command line says what to swap. */
export interface SwapFlags {
  readonly apply: readonly string[];
  readonly base?: string | true;
  readonly all?: boolean;
  readonly rebase?: boolean;
  readonly oldBase?: string;
  readonly newBase?: string;
  readonly replaceLayers: readonly string[];
}

/** Throws `usage` where nothing is to be swapped, or what contradicts itself. */
export function wantedParts(flags: SwapFlags): WantedParts {
  const { apply, base, all } = flags;
  const foreign = foreignSwap(flags);
  if (foreign) return { applied: new Map(), base: 'stay', foreign };
  if (apply.length === 0 && base === undefined && !all) {
    throw new StkError('usage', 'say what to swap', {
      hint: '--apply NAME[=REF], --base [REF], --rebase, --replace-layers OLD=REF, or --all for everything',
    });
  }
  const applied = new Map<string, string | undefined>();
  for (const text of apply) {
    const [name = '', ref] = text.split(/=(.*)/s, 2);
    if (name === '' || ref === '') throw new StkError('usage', `--apply ${text}: write NAME or NAME=REF`);
    applied.set(name, ref);
  }
  return {
    applied: apply.length === 0 && base === undefined ? 'all' : applied,
    base: base === undefined ? 'stay' : { ref: base === true ? undefined : base },
  };
}

/** What `stk adopt` is told. Throws `usage` for what is no image, or two entries of one name. */
export function adoptedParts(applied: readonly string[], base: string | undefined): WantedParts {
  if (applied.length === 0 && base === undefined) {
    throw new StkError('usage', 'say what the layers are', { hint: '--apply [NAME=]REF, --base REF, or both' });
  }
  const entries = applied.map(text => {
    const [, name, ref = text] = /^([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)$/s.exec(text) ?? [];
    return { name: name ?? entryName(ref), ref };
  });
  const twice = entries.find(({ name }, index) => entries.findIndex(each => each.name === name) !== index);
  if (twice)
    throw new StkError('usage', `two entries are called ${twice.name}`, { hint: 'name them: --apply NAME=REF' });
  return { applied: new Map(), base: 'stay', foreign: { kind: 'adopt', base, applied: entries } };
}

/** The last part of a repository, or a tag of a layout. */
function entryName(ref: string): string {
  const name = parseImageName(ref);
  if (name.kind === 'docker') return name.repository.split('/').at(-1)!;
  return name.tag ?? name.digest?.slice(7, 19) ?? 'image';
}

function foreignSwap(flags: SwapFlags): ForeignSwap | undefined {
  const { apply, base, all, rebase, oldBase, newBase, replaceLayers } = flags;
  if (!rebase && (oldBase !== undefined || newBase !== undefined)) {
    throw new StkError('usage', '--old-base and --new-base belong to --rebase');
  }
  if (!rebase && replaceLayers.length === 0) return undefined;
  if (apply.length > 0 || base !== undefined || all || (rebase && replaceLayers.length > 0)) {
    const what = rebase ? '--rebase' : '--replace-layers';
    throw new StkError('usage', `${what} is for one image and goes with nothing else that swaps`, {
      hint: 'swap one after the other',
    });
  }
  if (rebase) return { kind: 'rebase', oldBase, newBase };
  const layers = replaceLayers.map(text => {
    const [old = '', ref = ''] = text.split(/=(.*)/s, 2);
    if (old !== '' && ref !== '') return { old, ref };
    throw new StkError('usage', `--replace-layers ${text}: write OLD=REF`, {
      hint: 'OLD is the digest of a layer, or an image whose layers are held',
    });
  });
  return { kind: 'replace', layers };
}

/** Throws `usage` for what is no rule, `invalid-input` for an unknown resolution. */
export function parseRule(text: string): ConflictRule {
  const at = text.lastIndexOf('=');
  if (at <= 0) throw new StkError('usage', `--conflict ${text}: write GLOB=HOW`, { hint: "such as '/etc/motd=last'" });
  return conflictRule(text.slice(0, at), text.slice(at + 1));
}
