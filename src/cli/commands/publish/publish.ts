import { AsyncScope } from '../../../core/async-scope.ts';
import { formatBytes } from '../../../core/bytes.ts';
import type { Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import { say, type Emit } from '../../../core/events.ts';
import { tagFor, type LayerType } from '../../../builder/layer-types.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import { formatImageName, nameIn } from '../../../oci/image-name.ts';
import { isAttachmentTag } from '../../../oci/attachment-tag.ts';
import { copyImage, type CopyResult } from '../../../transfer/copy-image.ts';
import { parseDestination, parseTarget, retagged, targetOf, type TargetName } from '../../../transfer/destination.ts';
import type { ImageDefinition } from '../../../recipe/model.ts';
import type { OpenedName } from '../../../stores/image-stores.ts';
import type { Session } from '../../session.ts';
import { printableLine } from '../../ui/printable-line.ts';
import type { BuildFlags } from '../build/build-flags.ts';
import { buildOptions } from '../build/build-options.ts';
import { findBuildFiles, findUpToDate, openSessionUi } from '../build/build.ts';
import type { RecipesWish } from '../build/platform-recipes.ts';
import { loadBuildRecipes } from '../build/load-recipes.ts';
import { imageName } from '../images/image-names.ts';
import { requireSignature, type SignatureFlags } from '../signature/require-signature.ts';
import { logInOnce, type PublishLogin } from './publish-login.ts';
import type { Attacher } from '../attest/attacher.ts';
import { wantsDocuments, type AttachFlags } from '../attest/attach-flags.ts';
import { openSigner, type Signer } from './sign.ts';

export interface PublishFlags
  extends
    SignatureFlags,
    AttachFlags,
    PublishLogin,
    Pick<
      BuildFlags,
      | 'substitute'
      | 'substituteFile'
      | 'layerType'
      | 'platform'
      | 'compression'
      | 'verity'
      | 'stableIds'
      | 'annotationsNamespace'
    > {
  readonly stackerFile: string;
  readonly searchDir?: string;
  readonly stackerFilePattern: string;
  readonly tag: readonly string[];
  readonly image: readonly string[];
  readonly showOnly?: boolean;
  readonly force?: boolean;
  readonly referrers?: boolean;
  readonly url?: string;
  readonly skipTls?: boolean;
  readonly tlsVerify: boolean;
}

/** One copy to be made. */
interface Publication {
  /** What the progress is about. */
  readonly name: string;
  /** The source. */
  readonly from: OpenedName['name'];
  /** What to ask the source for. */
  readonly reference: string;
  /** All in one place, under different tags. */
  readonly targets: readonly TargetName[];
}

/** `stk publish DEST` and `stk publish SRC DEST`. Prints a line for each tag that was moved. */
export async function runPublish(session: Session, args: readonly string[], flags: PublishFlags): Promise<number> {
  const [first, second] = args.length === 0 && flags.url !== undefined ? [flags.url] : args;
  if (first === undefined) {
    throw new StkError('usage', 'publish needs a destination', { hint: 'stk publish docker://HOST/PATH --tag TAG' });
  }
  await logInOnce(session, second ?? first, flags);
  const scope = new AsyncScope();
  try {
    const plan =
      second === undefined
        ? await planRecipe(session, first, flags, scope)
        : await planImage(session, { from: first, to: second }, flags, scope);
    if (flags.showOnly) {
      for (const { name, targets } of plan.publications) {
        for (const target of targets)
          session.stdout.write(`would publish: ${name} to ${printableLine(formatImageName(target))}\n`);
      }
      return 0;
    }
    const signer = flags.signKey === undefined ? undefined : await openSigner(session, flags.signKey);
    const attacher = wantsDocuments(flags) ? await openAttacherLate(session, flags) : undefined;
    await using ui = openSessionUi(session);
    for (const name of plan.skipped ?? []) say(ui.emit, 'info', `${name} is build_only: it is not published`, name);
    for (const publication of plan.publications) {
      await publish(session, plan.source, publication, { flags, scope, emit: ui.emit, signer, attacher });
    }
  } finally {
    await scope[Symbol.asyncDispose]();
  }
  return 0;
}

interface Plan {
  readonly source: BlobStore;
  readonly publications: readonly Publication[];
  /** Images of the recipe that are left out. */
  readonly skipped?: readonly string[];
}

/** All images that the recipe emits, as the last build left them. */
async function planRecipe(session: Session, text: string, flags: PublishFlags, scope: AsyncScope): Promise<Plan> {
  const destination = parseDestination(text);
  const files =
    flags.searchDir === undefined
      ? [flags.stackerFile]
      : await findBuildFiles(session, { searchDir: flags.searchDir, stackerFilePattern: flags.stackerFilePattern });
  // What is there is published as it is: of the recipe only the names of images matter.
  const dummy = flags.force ? { dummySubstitution: 'dummy' } : {};
  const { recipes } = await loadBuildRecipes(session, files, { ...flags, ...dummy });
  const all = recipes.flatMap(recipe => recipe.images);
  const images = wantedImages(all, flags.image);
  const skipped = flags.image.length > 0 ? [] : all.filter(image => image.buildOnly).map(image => image.name);
  const types: readonly LayerType[] = flags.layerType.length === 0 ? ['squashfs'] : flags.layerType;
  const layout = { kind: 'oci', directory: session.global.ociDir } as const;
  const { store: source } = await session.stores.open(layout, {}, scope);
  const known =
    flags.force || images.length === 0 ? undefined : await builtDigests(session, { files, recipes, images }, flags);
  const publications = images.flatMap(({ name }) =>
    types.map(type => ({
      name: tagFor(name, type, types),
      from: { ...layout, tag: tagFor(name, type, types) },
      reference: known?.get(tagFor(name, type, types)) ?? tagFor(name, type, types),
      targets: (flags.tag.length === 0 ? [undefined] : flags.tag).map(tag =>
        destination.kind === 'docker'
          ? targetOf(destination, name, tagFor(tag ?? 'latest', type, types))
          : targetOf(destination, tagFor(tag === undefined ? name : `${name}_${tag}`, type, types), undefined),
      ),
    })),
  );
  return { source, publications, skipped };
}

function wantedImages(
  images: readonly ImageDefinition[],
  names: readonly string[],
): readonly Pick<ImageDefinition, 'name'>[] {
  const emitted = images.filter(image => !image.buildOnly);
  if (names.length === 0) return emitted;
  return names.map(name => {
    const found = images.find(image => image.name === name);
    const hint = `the recipe publishes: ${emitted.map(image => image.name).join(', ')}`;
    if (!found) throw new StkError('usage', `the recipe has no image ${name}`, { hint });
    if (found.buildOnly) throw new StkError('usage', `${name} is build_only: it is not published`, { hint });
    return found;
  });
}

/** What was built, by tag in the layout. Throws `conflict` where the recipe or its inputs have changed since. */
async function builtDigests(
  session: Session,
  {
    files,
    recipes,
    images,
  }: Pick<RecipesWish, 'files' | 'recipes'> & { readonly images: readonly Pick<ImageDefinition, 'name'>[] },
  flags: PublishFlags,
): Promise<ReadonlyMap<string, Digest>> {
  const names = images.map(image => image.name);
  const build: BuildFlags = { ...flags, cache: true, jobs: '2', secret: [] };
  const results = await findUpToDate(session, {
    files,
    flags,
    recipes,
    options: await buildOptions(session, names, build),
  });
  if (results)
    return new Map(results.flatMap(result => result.tags).map(({ tag, manifest }) => [tag, manifest.digest]));
  throw new StkError('conflict', `${names.join(', ')}: not built, or changed since the last build`, {
    hint: 'run stk build first, with the same options; or publish what is there with --force',
  });
}

/** One image, or a whole layout. */
async function planImage(
  session: Session,
  { from, to }: { readonly from: string; readonly to: string },
  flags: PublishFlags,
  scope: AsyncScope,
): Promise<Plan> {
  if (flags.image.length > 0) throw new StkError('usage', '--image chooses from a recipe: leave SRC out');
  const source = await session.stores.open(imageName(from), { tlsVerify: verify(flags) }, scope);
  if (source.reference !== undefined) {
    const target = parseTarget(to, source.tag);
    const targets = flags.tag.length === 0 ? [target] : flags.tag.map(tag => retagged(target, tag));
    return {
      source: source.store,
      publications: [{ name: source.text, from: source.name, reference: source.reference, targets }],
    };
  }
  const tags = (await source.store.tags({ signal: session.signal })).filter(tag => !isAttachmentTag(tag));
  if (tags.length === 0) throw new StkError('not-found', `${source.text} has no images`);
  const destination = parseDestination(to);
  const publications = tags.map(name => ({
    name,
    from: nameIn(source.store.place, name) ?? source.name,
    reference: name,
    targets: (flags.tag.length === 0 ? [undefined] : flags.tag).map(tag => targetOf(destination, name, tag)),
  }));
  return { source: source.store, publications };
}

interface PublishContext {
  readonly flags: PublishFlags;
  readonly scope: AsyncScope;
  readonly emit: Emit;
  readonly signer: Signer | undefined;
  readonly attacher: Attacher | undefined;
}

/** Few publish with documents. */
async function openAttacherLate(session: Session, flags: PublishFlags): Promise<Attacher> {
  const { openAttacher } = await import('../attest/attacher.ts');
  return openAttacher(session, flags);
}

async function publish(
  session: Session,
  source: BlobStore,
  publication: Publication,
  context: PublishContext,
): Promise<void> {
  const { flags, scope, emit, signer, attacher } = context;
  const { name, from, reference, targets } = publication;
  const [target, ...others] = targets;
  if (!target) return;
  const checked = await requireSignature(session, { name: from, store: source, reference }, flags);
  const { signal } = session;
  const store = await session.stores.openTarget(target, { tlsVerify: verify(flags) }, scope);
  // What is signed before its tag moves is never seen without its signature.
  const isLate = signer !== undefined || attacher !== undefined;
  const first = isLate ? undefined : target.tag;
  const result = await copyImage(
    { store: source, reference: checked ?? reference },
    { store, tag: first },
    { emit, group: name, referrers: flags.referrers === true, signal },
  );
  const attested = { store, from: source, root: result.root.descriptor, name: target };
  await attacher?.attach(attested, { kind: 'build' }, emit);
  if (signer) await signer.sign(store, result.root.descriptor, target, emit);
  for (const { tag } of isLate ? targets : others) await store.putManifest(result.root, tag, { signal });
  say(emit, 'info', `published: ${summary(result)}`, name);
  for (const each of targets) {
    session.stdout.write(`${printableLine(formatImageName(each))} ${result.root.descriptor.digest}\n`);
  }
}

function summary({ sentBlobs, sentBytes, presentBlobs }: CopyResult): string {
  return `${formatBytes(sentBytes)} in ${sentBlobs} blobs sent, ${presentBlobs} already there`;
}

function verify(flags: PublishFlags): boolean {
  return flags.tlsVerify && flags.skipTls !== true;
}
