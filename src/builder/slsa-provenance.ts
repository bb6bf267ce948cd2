import type { ImageOrigin, Material } from './image-origin.ts';

/** What kind of build a provenance tells of: its parameters are as this version of stk writes them. */
const BUILD_TYPE = 'urn:stk:build:v1';
const UPDATE_TYPE = 'urn:stk:update:v1';
/** Who built, where nobody says. */
export const DEFAULT_BUILDER_ID = 'urn:stk:local';

export interface ProvenanceOptions {
  /** A URI that stands for whoever runs builds in this way. */
  readonly builderId: string;
  /** Version of stk. */
  readonly version: string;
  /** Names of the values that the recipe was given; never the values. */
  readonly substitutions?: readonly string[];
}

/** The predicate of a build (SLSA, "Provenance", version 1). Says nothing that a substitution, variable or secret holds. */
export function buildProvenance(origin: ImageOrigin, options: ProvenanceOptions): object {
  const { name, recipe, platform, materials, steps, parameters, startedAt, finishedAt } = origin;
  const { epoch } = parameters;
  // Where an epoch is given, nothing tells when.
  const fixed = typeof epoch === 'number' ? new Date(epoch * 1000).toISOString() : undefined;
  return {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: {
        image: name,
        recipe: { name: recipe.name, digest: { sha256: hex(recipe.digest) }, content: recipe.text },
        substitutions: [...(options.substitutions ?? [])].toSorted(),
      },
      internalParameters: { ...parameters, platform },
      resolvedDependencies: [
        ...(recipe.git === undefined ? [] : [gitDependency(recipe.git)]),
        ...materials.map(dependency),
      ],
    },
    runDetails: {
      builder: { id: options.builderId, version: { stk: options.version } },
      metadata: { startedOn: fixed ?? startedAt, finishedOn: fixed ?? finishedAt },
      byproducts: steps.map(({ label, key, cached, layer, created }) => ({
        name: label,
        ...(layer === null ? {} : { digest: { sha256: hex(layer) } }),
        annotations: { 'dev.stk.key': key, 'dev.stk.cached': cached, 'dev.stk.created': fixed ?? created },
      })),
    },
  };
}

/** One layer of an image that an update took out or put in. */
export interface SwappedLayer {
  readonly digest: string;
  /** Annotations of its descriptor that say what it is. */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface UpdateOrigin {
  readonly image: string;
  /** Of the manifest that was replaced; `undefined` where nothing says so. */
  readonly from: string | undefined;
  readonly removed: readonly SwappedLayer[];
  readonly added: readonly SwappedLayer[];
  /** What the image applies now, as its manifest has it. */
  readonly applied: readonly { readonly name: string; readonly ref: string; readonly digest: string }[];
  readonly rules: readonly (readonly [glob: string, resolution: string])[];
  /** RFC 3339. */
  readonly created: string;
}

/** The predicate of an update: what it began with, which layers it swapped, and by which rules. */
export function updateProvenance(origin: UpdateOrigin, options: ProvenanceOptions): object {
  const { image, from, removed, added, applied, rules, created } = origin;
  return {
    buildDefinition: {
      buildType: UPDATE_TYPE,
      externalParameters: { image, rules },
      internalParameters: { version: options.version },
      resolvedDependencies: [
        ...(from === undefined ? [] : [{ name: 'image before', digest: { sha256: hex(from) } }]),
        ...applied.map(({ name, ref, digest }) => ({ name, uri: ref, digest: { sha256: hex(digest) } })),
      ],
    },
    runDetails: {
      builder: { id: options.builderId, version: { stk: options.version } },
      metadata: { startedOn: created, finishedOn: created },
      byproducts: [...removed.map(layer => swapped('removed', layer)), ...added.map(layer => swapped('added', layer))],
    },
  };
}

function swapped(name: string, { digest, annotations }: SwappedLayer) {
  return { name, digest: { sha256: hex(digest) }, annotations };
}

function dependency({ kind, uri, digest, isTree }: Material) {
  return {
    name: kind,
    uri,
    ...(digest === undefined ? {} : { digest: isTree ? { stkTree: hex(digest) } : { sha256: hex(digest) } }),
  };
}

function gitDependency(git: string) {
  const [, commit] = /(?:^|-g)([0-9a-f]{7,40})(?:-dirty)?$/.exec(git) ?? [];
  return { name: 'source', annotations: { describe: git }, ...(commit ? { digest: { gitCommit: commit } } : {}) };
}

function hex(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}
