import type { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import type { ImageState } from '../../../fleet/image-state.ts';
import { judgeFindings, type Verdict } from '../../../fleet/judge-findings.ts';
import { PartChanges } from '../../../fleet/part-changes.ts';
import { parseVulnerabilityReport, type Finding } from '../../../fleet/vulnerability-report.ts';
import { readInventory } from '../../../inventory/read-inventory.ts';
import { parseImageName } from '../../../oci/image-name.ts';
import { layerFormat } from '../../../oci/media-types.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import type { Session } from '../../session.ts';
import { partCache } from '../sbom/part-cache.ts';

/** An image and what a report found in it. */
export interface JudgedImage {
  readonly image: ImageState;
  readonly verdicts: readonly Verdict[];
}

/** The findings of all reports. Throws `not-found` and `invalid-input` as they are read. */
export async function readReports(
  { given, workingDirectory }: Session,
  files: readonly string[],
): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const name of files) {
    const file = absPath(name === '-' ? '/dev/stdin' : name, workingDirectory);
    const bytes = await given.read(file).catch((cause: unknown) => {
      throw new StkError('not-found', `cannot read the report ${file}`, { cause, facts: { path: file } });
    });
    found.push(...parseVulnerabilityReport(bytes.toString('utf8'), name));
  }
  return found;
}

/** What of the findings is in each image, and which parts of it carry fixes. */
export async function judgeImages(
  session: Session,
  images: readonly ImageState[],
  findings: readonly Finding[],
  { tlsVerify, scope }: { readonly tlsVerify: boolean; readonly scope: AsyncScope },
): Promise<readonly JudgedImage[]> {
  const { stores, signal } = session;
  const cache = await partCache(session);
  const openStore = async (name: string) => (await stores.open(parseImageName(name), { tlsVerify }, scope)).store;
  const changes = new PartChanges({ openStore, cache, hostPlatform: hostPlatform(), signal });
  const judged: JudgedImage[] = [];
  for (const image of images) {
    const verdicts = await judgeFindings(image, findings, {
      packagesNow: (of, part) => changes.now(of, part),
      packagesOf: async ({ store, manifest: { layers } }) =>
        layers.every(({ mediaType }) => layerFormat(mediaType).kind === 'squashfs')
          ? (await readInventory(layers, { store, cache, signal })).packages
          : undefined,
    });
    judged.push({ image, verdicts });
  }
  return judged;
}
