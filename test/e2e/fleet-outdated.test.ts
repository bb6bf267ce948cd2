import { describe, expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { nextSsl, tagDigest, writeApp } from '../rig/applied-app.ts';
import { requires } from '../rig/gates.ts';
import { applyList, inRole, packFiles, writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'tool:veritysetup', 'tool:mksquashfs');

interface Told {
  readonly image: string;
  readonly behind: boolean;
  readonly parts: readonly {
    readonly name: string;
    readonly state: string;
    readonly now?: string;
    readonly newer: readonly string[];
    readonly packages?: readonly { readonly name: string; readonly before?: string; readonly after?: string }[];
  }[];
}

const stanza = (name: string, version: string) =>
  `Package: ${name}\nStatus: install ok installed\nArchitecture: all\nVersion: ${version}\n\n`;

describe('what is behind', () => {
  it('is found in a layout, with the packages that differ', async () => {
    await using rig = await StkRig.open();
    const STATUS = 'var/lib/dpkg/status';
    const ssl = await packFiles({ [STATUS]: stanza('openssl', '1.0') + stanza('same', '1') });
    const { base } = await writeApp(rig, 'app', { ssl });
    await writeStack(rig.path('oci'), 'plain', { layers: [base] });
    expect(await rig.ok(['outdated'])).toBe('0 of 3 images are behind\n');
    await nextSsl(rig, base, { [STATUS]: stanza('openssl', '1.1') + stanza('same', '1') } as never);
    const all = JSON.parse(await rig.ok(['outdated', '--packages', '--json'])) as Told[];
    const app = all.find(({ image }) => image.endsWith(':app'))!;
    expect(app.parts).toMatchObject([{ name: 'ssl', state: 'behind', now: await tagDigest(rig, 'ssl') }]);
    expect(await rig.stk(['outdated', 'app', '--exit-code'])).toMatchObject({ exitCode: 13 });
    expect(await rig.ok(['outdated', 'app'])).toMatch(/apply ssl .* behind\n1 of 1 images are behind\n$/s);
    await rig.ok(['update', 'app', '--apply', 'ssl']);
    expect(await rig.stk(['outdated', 'app', '--exit-code'])).toMatchObject({ exitCode: 0 });
  });

  it('costs a registry two requests an image at first and one later, and names newer versions', async () => {
    await using rig = await StkRig.open();
    await using registry = await FakeRegistry.start({ catalog: true });
    const at = (name: string) => `docker://${registry.host}/team/${name}`;
    const oci = rig.path('oci');
    const base = inRole(await packFiles({ b: 'b' }), 'base');
    const writeSsl = async (content: string) => {
      const ssl = inRole(await packFiles({ ssl: content }), 'run');
      return { ssl, digest: await writeStack(oci, 'ssl', { layers: [base, ssl] }) };
    };
    const { ssl, digest } = await writeSsl('one');
    await writeStack(oci, 'app', {
      layers: [base, inRole(ssl, 'apply'), inRole(await packFiles({ app: 'a' }), 'run')],
      annotations: {
        'org.opencontainers.image.base.name': `${registry.host}/team/base:1`,
        'org.opencontainers.image.base.digest': await writeStack(oci, 'base', { layers: [base] }),
        ...applyList([{ name: 'ssl', ref: at('ssl:1.9'), digest }]),
      },
    });
    await rig.ok(['publish', 'base', at('base:1')]);
    for (const tag of ['1.9', '1.10']) await rig.ok(['publish', 'ssl', at(`ssl:${tag}`)]);
    for (const app of ['app-a:1', 'app-a:2', 'app-b:1']) await rig.ok(['publish', 'app', at(app)]);
    await rig.write('fleet.yaml', { images: [{ from: at('app-*'), newest: 1 }] });
    const requests = async () => {
      const before = registry.requests.length;
      const told = JSON.parse(await rig.ok(['outdated', '--fleet', 'fleet.yaml', '--json'])) as Told[];
      const made = registry.requests.slice(before).map(({ method, url }) => `${method} ${url}`);
      return { told, ofApps: made.filter(line => /team\/app-[ab]\/manifests/.test(line)) };
    };
    const first = await requests();
    expect(first.told.map(({ image }) => image)).toEqual([at('app-a:2'), at('app-b:1')]);
    expect(first.told[0]?.parts).toMatchObject([
      { state: 'current', newer: [] },
      { state: 'current', newer: ['1.10'] },
    ]);
    expect(first.ofApps.length).toBeLessThanOrEqual(4);
    await writeSsl('two');
    await rig.ok(['publish', 'ssl', at('ssl:1.9')]);
    const later = await requests();
    expect(later.told.map(({ behind }) => behind)).toEqual([true, true]);
    expect(later.ofApps).toHaveLength(2);
    expect(later.ofApps.every(line => line.startsWith('HEAD'))).toBe(true);
  });

  it('is looked for in what a fleet file says, which lint checks', async () => {
    await using rig = await StkRig.open();
    await rig.write('fleet.yaml', 'images:\n  - from: oci:oci\n    tag_globs: x\n');
    const linted = await rig.stk(['lint', 'fleet.yaml']);
    expect(linted).toMatchObject({ exitCode: 3 });
    expect(linted.stdout).toMatch(/fleet\.yaml:3:5: error: .*unknown key tag_globs/);
    expect(await rig.stk(['outdated', '--fleet', 'fleet.yaml'])).toMatchObject({ exitCode: 3 });
    const { base } = await writeApp(rig);
    await writeStack(rig.path('oci'), 'other', { layers: [base, inRole(await packFiles({ x: 'y' }), 'run')] });
    await rig.write('fleet.yaml', 'images:\n  - from: oci:oci\n    tags: [app, other]\n    exclude: oth*\n');
    expect(await rig.ok(['lint', 'fleet.yaml'])).toContain('no problems');
    expect(await rig.ok(['outdated', '--fleet', 'fleet.yaml'])).toBe('0 of 1 images are behind\n');
  });
});
