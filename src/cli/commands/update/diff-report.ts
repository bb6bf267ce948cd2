import type { Aspect } from '../../../apply/diff-nodes.ts';
import type { TreeChange } from '../../../apply/diff-trees.ts';
import { formatBytes } from '../../../core/bytes.ts';
import type { JsonValue } from '../../../core/canonical-json.ts';
import { textOfByteString } from '../../../core/host-text.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { LAYER_ROLE } from '../../../oci/layer-annotations.ts';
import type { MergedNode } from '../../../squashfs/layer-stack.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { quotedByteString } from '../../ui/quoted-name.ts';
import { formatTable } from '../../ui/table.ts';
import type { FoundImage } from '../../../stores/find-image.ts';
import { OutputLines } from '../../ui/output-lines.ts';

export interface LayerChanges {
  readonly gone: readonly Descriptor[];
  readonly fresh: readonly Descriptor[];
  readonly shared: number;
  readonly sameOrder: boolean;
}

/** A member of the configuration that differs. */
export interface SettingChange {
  readonly name: string;
  readonly before: JsonValue | undefined;
  readonly after: JsonValue | undefined;
}

/** What is known before any file was looked at. */
export interface DiffHead {
  readonly before: FoundImage;
  readonly after: FoundImage;
  readonly layers: LayerChanges;
  readonly settings: readonly SettingChange[];
}

export interface DiffTotals {
  added: number;
  removed: number;
  changed: number;
  /** Of files, before and after, among the paths that differ. */
  bytesBefore: number;
  bytesAfter: number;
}

/** Writes a difference as it is found. */
export interface DiffReport {
  begin(): Promise<void>;
  change(change: TreeChange): Promise<void>;
  end(totals: DiffTotals): Promise<void>;
}

/** One document, written as it grows. */
export class JsonDiff implements DiffReport {
  readonly #lines: OutputLines;
  readonly #head: object;
  #first = true;

  constructor(stdout: NodeJS.WriteStream, { before, after, layers, settings }: DiffHead) {
    this.#lines = new OutputLines(stdout);
    const image = ({ name, descriptor }: FoundImage) => ({ name, digest: descriptor.digest });
    const layer = ({ digest, size, annotations }: Descriptor) => ({ digest, size, role: annotations?.[LAYER_ROLE] });
    this.#head = {
      before: image(before),
      after: image(after),
      layers: { removed: layers.gone.map(layer), added: layers.fresh.map(layer), shared: layers.shared },
      settings,
    };
  }

  async begin(): Promise<void> {
    await this.#lines.write(`${jsonText(this.#head).slice(0, -1)},"changes":[`);
  }

  async change({ path, before, after, aspects }: TreeChange): Promise<void> {
    const value = {
      path: `/${textOfByteString(path)}`,
      change: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed',
      ...(before && after ? { aspects } : {}),
      ...(before ? { before: nodeJson(before) } : {}),
      ...(after ? { after: nodeJson(after) } : {}),
    };
    await this.#lines.write(`${this.#first ? '' : ','}${jsonText(value)}`);
    this.#first = false;
  }

  async end(totals: DiffTotals): Promise<void> {
    await this.#lines.write(`],"totals":${JSON.stringify(totals)}}`);
    await this.#lines.flush();
  }
}

/** A line for each layer and path. */
export class TextDiff implements DiffReport {
  readonly #stdout: NodeJS.WriteStream;
  readonly #lines: OutputLines;
  readonly #head: DiffHead;
  readonly #stat: boolean;

  /** @param stat leaves the paths out */
  constructor(stdout: NodeJS.WriteStream, head: DiffHead, stat: boolean) {
    this.#stdout = stdout;
    this.#lines = new OutputLines(stdout);
    this.#head = head;
    this.#stat = stat;
  }

  async begin(): Promise<void> {
    const row = (sign: string, { digest, size, annotations }: Descriptor) => [
      sign,
      annotations?.[LAYER_ROLE] ?? 'layer',
      digest.slice(7, 19),
      formatBytes(size),
    ];
    const { gone, fresh, shared } = this.#head.layers;
    const rows = [...gone.map(layer => row('-', layer)), ...fresh.map(layer => row('+', layer))];
    const columns = [{ heading: '' }, { heading: '' }, { heading: '' }, { heading: '', align: 'right' as const }];
    const width = this.#stdout.isTTY ? this.#stdout.columns : undefined;
    for (const line of formatTable(columns, rows, width)) await this.#lines.write(line);
    if (rows.length > 0) await this.#lines.write(`  ${shared} layers in common`);
    else if (!this.#head.layers.sameOrder) await this.#lines.write('the same layers in another order');
    for (const { name, before, after } of this.#head.settings) {
      await this.#lines.write(printableLine(`  ${name}: ${settingText(before)} -> ${settingText(after)}`));
    }
  }

  async change(change: TreeChange): Promise<void> {
    if (!this.#stat) await this.#lines.write(changeLine(change));
  }

  async end({ added, removed, changed, bytesBefore, bytesAfter }: DiffTotals): Promise<void> {
    const counts = `${added} added, ${removed} removed, ${changed} changed`;
    if (added + removed + changed > 0) {
      await this.#lines.write(`${counts}; ${formatBytes(bytesBefore)} -> ${formatBytes(bytesAfter)} of files`);
    } else if (this.#head.layers.gone.length + this.#head.layers.fresh.length > 0) {
      await this.#lines.write('no path differs');
    }
    await this.#lines.flush();
  }
}

function changeLine({ path, before, after, aspects }: TreeChange): string {
  const node = after ?? before!;
  const shown = `/${quotedByteString(path)}${node.inode.type === 'directory' && path !== '' ? '/' : ''}`;
  if (!before) return `A ${shown}${sizeNote(node)}`;
  if (!after) return `D ${shown}${sizeNote(node)}`;
  const notes = aspects.map(aspect => aspectNote(aspect, before, after));
  return `M ${shown} (${notes.join(', ')})`;
}

function sizeNote({ inode }: MergedNode): string {
  return inode.type === 'file' ? ` (${formatBytes(inode.size)})` : '';
}

function nodeJson({ inode }: MergedNode): object {
  return {
    type: inode.type,
    mode: octal(inode.mode),
    uid: inode.uid,
    gid: inode.gid,
    ...(inode.type === 'file' ? { size: inode.size } : {}),
    ...(inode.type === 'symlink' ? { target: textOfByteString(inode.target) } : {}),
    ...('major' in inode ? { device: [inode.major, inode.minor] } : {}),
  };
}

function targetOf({ inode }: MergedNode): string {
  return inode.type === 'symlink' ? quotedByteString(inode.target) : '';
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function settingText(value: JsonValue | undefined): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}

function aspectNote(aspect: Aspect, before: MergedNode, after: MergedNode): string {
  const [old, now] = [before.inode, after.inode];
  switch (aspect) {
    case 'type':
      return `${old.type} -> ${now.type}`;
    case 'mode':
      return `mode ${octal(old.mode)} -> ${octal(now.mode)}`;
    case 'owner':
      return `owner ${old.uid}:${old.gid} -> ${now.uid}:${now.gid}`;
    case 'target':
      return `target ${targetOf(before)} -> ${targetOf(after)}`;
    case 'content':
      return old.size === now.size ? 'content' : `content ${formatBytes(old.size)} -> ${formatBytes(now.size)}`;
    case 'xattrs':
    case 'device':
      return aspect;
  }
}
