import { formatBytes } from '../../../core/bytes.ts';
import { textOfByteString } from '../../../core/host-text.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { APPLY_NAME, LAYER_ROLE } from '../../../oci/layer-annotations.ts';
import type { LeftBehind } from '../../../update/left-behind.ts';
import type { UpdateOutcome } from '../../../update/update-run.ts';
import { jsonText } from '../../ui/json-text.ts';
import { formatPlatform } from '../../../oci/platform.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { quotedByteString } from '../../ui/quoted-name.ts';
import { formatTable, type Column } from '../../ui/table.ts';
import { errorToJson } from '../../render-error.ts';

const COLUMNS: readonly Column[] = [
  { heading: '' },
  { heading: '' },
  { heading: '' },
  { heading: '' },
  { heading: '', align: 'right' },
];
/** Paths that are shown of one image; `--json` has all of them. */
const MOST_PATHS = 20;

/** Lines for people. */
export function writeOutcome(stdout: NodeJS.WriteStream, outcome: UpdateOutcome): void {
  if ('failed' in outcome) return;
  if ('left' in outcome) {
    stdout.write(`${printableLine(leftLine(outcome.left))}\n`);
    return;
  }
  const { image, tag, index } = outcome.target;
  if ('unchanged' in outcome) {
    stdout.write(`${printableLine(image.name)} ${image.descriptor.digest} is up to date\n`);
    return;
  }
  const { updated } = outcome;
  const target = index || image.name.endsWith(tag) ? '' : ` as ${printableLine(tag)}`;
  const verb = 'missing' in outcome ? 'would become' : 'is now';
  const width = stdout.isTTY ? stdout.columns : undefined;
  const rows = [
    ...updated.removed.map(layer => layerRow('-', layer)),
    ...updated.fresh.map(({ descriptor }) => layerRow('+', descriptor)),
  ];
  const stay = updated.layers.length - updated.fresh.length;
  const paths = updated.settled
    .slice(0, MOST_PATHS)
    .map(({ path, driver }) => `  ${driver}: /${quotedByteString(path)}`);
  const more = updated.settled.length - paths.length;
  const bytes =
    'missing' in outcome ? `${formatBytes(outcome.missing)} to send` : `${formatBytes(outcome.sentBytes)} sent`;
  const lines = [
    `${image.name}${target} ${verb} ${updated.manifest.descriptor.digest}`,
    ...formatTable(COLUMNS, rows, width).map(line => `  ${line}`),
    `  ${stay} layers stay; ${bytes}`,
    ...updated.renumbered.map(
      ({ kind, name, image: of, from, to, paths, bytes }) =>
        `  ${kind} ${name} of ${of}: ${from} becomes ${to} (${paths} files, ${formatBytes(bytes)})`,
    ),
    ...(updated.settled.length === 0 ? [] : [`  ${updated.settled.length} paths merged`]),
    ...paths.map(line => `  ${line}`),
    ...(more > 0 ? [`    and ${more} more`] : []),
    ...updated.remarks.map(({ text }) => `  note: ${text}`),
  ];
  stdout.write(`${lines.map(printableLine).join('\n')}\n`);
}

/** One JSON list for all images, written as they end: what was done is told whatever ends the rest. */
export class OutcomeList {
  readonly #stdout: NodeJS.WriteStream;
  #state: 'empty' | 'open' | 'ended' = 'empty';

  constructor(stdout: NodeJS.WriteStream) {
    this.#stdout = stdout;
  }

  add(outcome: UpdateOutcome): void {
    this.#stdout.write(`${this.#state === 'empty' ? '[' : ','}\n${jsonText(outcomeJson(outcome))}`);
    this.#state = 'open';
  }

  /** Ends the list; once is enough. */
  end(): void {
    if (this.#state !== 'ended') this.#stdout.write(this.#state === 'empty' ? '[]\n' : '\n]\n');
    this.#state = 'ended';
  }
}

function leftLine({ image, layers, standsOn }: LeftBehind): string {
  const why = standsOn === undefined ? '' : `; it stands on ${standsOn}`;
  const what = layers.length === 0 ? 'is not updated' : `still holds ${layers.length} old layers`;
  const next = standsOn === undefined ? 'build it again' : `build it again, or: stk update ${image.name} --base`;
  return `${image.name} ${image.descriptor.digest} ${what}${why}: ${next}`;
}

function outcomeJson(outcome: UpdateOutcome): object {
  if ('failed' in outcome) {
    const { name, tag, from, error } = outcome.failed;
    return { image: name, tag, from, outcome: 'failed', ...errorToJson(error) };
  }
  if ('left' in outcome) {
    const { image, layers, standsOn } = outcome.left;
    return {
      image: image.name,
      tag: image.tag,
      from: image.descriptor.digest,
      outcome: 'left-behind',
      layers,
      standsOn,
    };
  }
  const { image, tag, index } = outcome.target;
  const platform = index && formatPlatform(image.config);
  const head = { image: image.name, tag, ...(platform && { platform }), from: image.descriptor.digest };
  if ('unchanged' in outcome) return { ...head, outcome: 'unchanged' };
  const { updated } = outcome;
  const isDryRun = 'missing' in outcome;
  const bytes = isDryRun ? { bytesToSend: outcome.missing } : { bytesSent: outcome.sentBytes };
  return {
    ...head,
    outcome: isDryRun ? 'would-update' : 'updated',
    to: updated.manifest.descriptor.digest,
    layers: {
      removed: updated.removed.map(layerJson),
      added: updated.fresh.map(({ descriptor }) => layerJson(descriptor)),
      kept: updated.layers.length - updated.fresh.length,
    },
    renumbered: updated.renumbered,
    merged: updated.settled.map(({ path, driver, sides }) => ({
      path: `/${textOfByteString(path)}`,
      driver,
      sides,
    })),
    remarks: updated.remarks,
    ...bytes,
  };
}

function layerRow(sign: string, { annotations, digest, size }: Descriptor): readonly string[] {
  return [
    sign,
    annotations?.[LAYER_ROLE] ?? 'layer',
    annotations?.[APPLY_NAME] ?? '',
    digest.slice(7, 19),
    formatBytes(size),
  ];
}

function layerJson({ annotations, digest, size }: Descriptor): object {
  return { role: annotations?.[LAYER_ROLE], name: annotations?.[APPLY_NAME], digest, size };
}
