import type { Digest } from '../core/digest.ts';
import { APPLY_NAME, LAYER_ROLE } from '../oci/layer-annotations.ts';
import { formatPlatform } from '../oci/platform.ts';
import type { ImageState } from './image-state.ts';
import { isBehind } from './survey.ts';
import type { Verdict } from './judge-findings.ts';

/** What a report shows, small enough for a thousand images: layers by their number. */
export interface ReportData {
  readonly title: string;
  /** RFC 3339. */
  readonly created: string;
  readonly layers: readonly ReportLayer[];
  readonly images: readonly ReportImage[];
  readonly totals: {
    /** Bytes of all images, as if each had its layers alone. */
    readonly apart: number;
    /** Bytes of all layers, each once. */
    readonly shared: number;
    readonly behind: number;
  };
}

export interface ReportLayer {
  readonly digest: Digest;
  readonly size: number;
  readonly role: string;
  /** The entry or base that it belongs to, where somebody says so. */
  readonly name: string;
  /** How many of the images hold it. */
  readonly held: number;
}

export interface ReportImage {
  readonly name: string;
  readonly digest: Digest;
  readonly size: number;
  /** Bytes of layers that no other of the images has. */
  readonly own: number;
  /** Numbers of its layers, bottom up. */
  readonly layers: readonly number[];
  readonly parts: readonly {
    readonly kind: string;
    readonly name: string;
    readonly state: string;
    readonly newer: number;
  }[];
  readonly behind: boolean;
  readonly findings: readonly {
    readonly id: string;
    readonly severity: string;
    readonly package: string;
    readonly isFixed: boolean;
    readonly why: string;
  }[];
}

/** Pure: the same images give the same data. */
export function reportData(
  images: readonly ImageState[],
  verdicts: ReadonlyMap<ImageState, readonly Verdict[]>,
  { title, created }: Pick<ReportData, 'title' | 'created'>,
): ReportData {
  const numbers = new Map<Digest, number>();
  const layers: { digest: Digest; size: number; role: string; name: string; held: number }[] = [];
  for (const { manifest, parts } of images) {
    const base = parts.find(({ kind }) => kind === 'base')?.name ?? '';
    for (const { digest, size, annotations = {} } of new Map(
      manifest.layers.map(layer => [layer.digest, layer]),
    ).values()) {
      const known = numbers.get(digest);
      if (known !== undefined) {
        layers[known]!.held++;
        continue;
      }
      const role = annotations[LAYER_ROLE] ?? 'layer';
      numbers.set(digest, layers.length);
      layers.push({ digest, size, role, name: annotations[APPLY_NAME] ?? (role === 'base' ? base : ''), held: 1 });
    }
  }
  const shown = images.map((image): ReportImage => {
    const own = [...new Set(image.manifest.layers.map(({ digest }) => numbers.get(digest)!))];
    const size = (list: readonly number[]) => list.reduce((sum, number) => sum + layers[number]!.size, 0);
    return {
      name: image.platform ? `${image.name} (${formatPlatform(image.platform)})` : image.name,
      digest: image.digest,
      size: size(own),
      own: size(own.filter(number => layers[number]!.held === 1)),
      layers: own,
      parts: image.parts.map(({ kind, name, state, newer }) => ({ kind, name, state, newer: newer.length })),
      behind: isBehind(image),
      findings: (verdicts.get(image) ?? []).map(({ finding, isFixed, why = '' }) => ({
        id: finding.id,
        severity: finding.severity,
        package: `${finding.package} ${finding.installed}`,
        isFixed,
        why,
      })),
    };
  });
  return {
    title,
    created,
    layers,
    images: shown,
    totals: {
      apart: shown.reduce((sum, { size }) => sum + size, 0),
      shared: layers.reduce((sum, { size }) => sum + size, 0),
      behind: shown.filter(({ behind }) => behind).length,
    },
  };
}
