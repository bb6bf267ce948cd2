import { applyList, inRole, packFiles, writeStack, type StackLayer } from './stack-image.ts';
import type { StkRig } from './stk-rig.ts';

/** What the image is made of. */
export interface AppParts {
  readonly base: StackLayer;
  readonly ssl: StackLayer;
  readonly run: StackLayer;
}

/** An image that applies `ssl` and wrote something of its own. */
export async function writeApp(
  rig: StkRig,
  tag = 'app',
  parts?: Partial<AppParts>,
): Promise<AppParts & { readonly digest: string }> {
  const oci = rig.path('oci');
  const base = parts?.base ?? inRole(await packFiles({ 'etc/os': 'one\n', 'lib/libc': 'c' }), 'base');
  const ssl = parts?.ssl ?? (await packFiles({ 'lib/ssl': 'ssl 1', 'etc/ssl.conf': 'old\n' }));
  const run = parts?.run ?? inRole(await packFiles({ 'srv/app': 'app', 'etc/app.conf': 'x' }), 'run');
  const digest = await writeStack(oci, 'ssl', { layers: [base, inRole(ssl, 'run')] });
  await writeStack(oci, tag, {
    layers: [base, inRole(ssl, 'apply', { 'dev.stk.apply.name': 'ssl' }), run],
    annotations: { ...applyList([{ name: 'ssl', ref: 'ssl', digest }]), 'org.example.kept': 'yes' },
    config: { Env: ['A=b'], Cmd: ['/srv/app'] },
    createdBy: ['base layer', 'stk apply ssl', 'stk run'],
  });
  return { base, ssl, run, digest: await tagDigest(rig, tag) };
}

/** Digest of a tag of the rig's layout. */
export async function tagDigest(rig: StkRig, tag: string): Promise<string> {
  return (JSON.parse(await rig.ok(['inspect', tag, '--json'])) as { digest: string }).digest;
}

/** Another version of the applied image. */
export async function nextSsl(
  rig: StkRig,
  base: StackLayer,
  files = { 'lib/ssl': 'ssl 2', 'etc/new': 'n' },
): Promise<StackLayer> {
  const ssl = await packFiles(files);
  await writeStack(rig.path('oci'), 'ssl', { layers: [base, inRole(ssl, 'run')] });
  return ssl;
}
