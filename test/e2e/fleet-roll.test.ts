import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { nextSsl, tagDigest, writeApp } from '../rig/applied-app.ts';
import { requires } from '../rig/gates.ts';
import { inRole, packFiles, writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'tool:veritysetup', 'tool:mksquashfs');

interface Outcome {
  readonly image: string;
  readonly outcome: string;
  readonly to?: string;
}

const NAMES = ['app-a', 'app-b', 'app-c'];

/** Images that apply `ssl`, of which there is a newer version, and a fleet file about them. */
async function openFleet(more: object = {}): Promise<StkRig> {
  const rig = await StkRig.open();
  const parts = await writeApp(rig, 'app-a');
  for (const name of NAMES.slice(1)) {
    await writeApp(rig, name, { ...parts, run: inRole(await packFiles({ [`srv/${name}`]: name }), 'run') });
  }
  await nextSsl(rig, parts.base);
  await rig.write('fleet.yaml', { images: [{ from: 'oci:oci', tags: 'app-*' }], limits: { parallel: 1 }, ...more });
  return rig;
}

const update = (...args: readonly string[]) => ['update', '--fleet', 'fleet.yaml', ...args];
const digests = async (rig: StkRig) => Promise.all(NAMES.map(name => tagDigest(rig, name)));
const outcomes = async (rig: StkRig, ...args: readonly string[]) =>
  (JSON.parse((await rig.stk(update('--json', ...args))).stdout) as Outcome[]).map(
    ({ image, outcome }) => `${outcome} ${image.split(':').at(-1)}`,
  );

describe('a roll', () => {
  it('is planned and computed without a change, moves everything that is behind, and is taken back', async () => {
    await using rig = await openFleet();
    const before = await digests(rig);
    expect(await rig.ok(update('--plan'))).toMatch(/^due .*app-a \(ssl\)\n[\s\S]*3 due, 0 current\n$/);
    expect(await outcomes(rig, '--dry-run')).toEqual(NAMES.map(name => `would-update ${name}`));
    expect(await digests(rig)).toEqual(before);
    expect(await outcomes(rig)).toEqual(NAMES.map(name => `updated ${name}`));
    expect(await rig.ok(['ls', 'app-c:/etc'])).toContain('new\n');
    const after = await digests(rig);
    expect(await rig.ok(update())).toBe('3 current\n');
    // What is needed to take it back outlives garbage collection.
    await rig.ok(['gc', '--no-keep-cache']);
    expect(await outcomes(rig, '--rollback')).toEqual(NAMES.map(name => `restored ${name}`));
    expect(await digests(rig)).toEqual(before);
    await rig.ok(['verify', 'app-b']);
    expect(await rig.ok(update('--rollback'))).toBe('3 unchanged\n');
    expect(await outcomes(rig)).toEqual(NAMES.map(name => `updated ${name}`));
    expect((await digests(rig)).every((digest, index) => digest !== before[index] && after[index] !== undefined)).toBe(
      true,
    );
  });

  it('ends with a canary that does not pass, whose tag does not move', async () => {
    await using rig = await openFleet();
    const before = await digests(rig);
    const failed = await rig.stk(update('--canary', '1', '--check', 'false'));
    expect(failed).toMatchObject({ exitCode: 4 });
    expect(failed.stdout).toMatch(/failed .*app-a.*\n(skipped .*\n){2}1 failed, 2 skipped, 0 current\n$/);
    expect(await digests(rig)).toEqual(before);
    // The check gets the new version by its digest, before any tag says so.
    const check = `sh -c 'echo "$1" >> seen' - {}`;
    expect(await outcomes(rig, '--canary', '1', '--check', check)).toEqual(NAMES.map(name => `updated ${name}`));
    const seen = (await readFile(rig.path('seen'), 'utf8')).trim().split('\n');
    expect(seen).toEqual([`oci:${rig.path('oci')}@${await tagDigest(rig, 'app-a')}`]);
  });

  it('goes on where a kill, or its limit, has ended it', async () => {
    await using rig = await openFleet();
    const before = await digests(rig);
    const killed = await rig.stk(update('--check', `sh -c 'test -e seen && kill -9 $PPID; touch seen'`));
    expect(killed).toMatchObject({ exitCode: undefined });
    const [first, ...others] = await digests(rig);
    expect([first === before[0], others.join()]).toEqual([false, before.slice(1).join()]);
    expect(await outcomes(rig, '--limit', '1')).toEqual(['updated app-b', 'later app-c']);
    expect(await outcomes(rig)).toEqual(['updated app-c']);
    // One roll, however many runs it took.
    expect(await outcomes(rig, '--rollback')).toHaveLength(3);
    expect(await digests(rig)).toEqual(before);
  });

  it('leaves images that wait until they are named, and what was moved by others where it is', async () => {
    await using rig = await openFleet({
      images: [
        { from: 'oci:oci', tags: 'app-a' },
        { from: 'oci:oci', tags: 'app-*', move: 'wait' },
      ],
    });
    const before = await digests(rig);
    expect(await outcomes(rig)).toEqual(['waits app-b', 'waits app-c', 'updated app-a']);
    expect(await outcomes(rig, '--only', 'app-c')).toEqual(['updated app-c']);
    const moved = await writeStack(rig.path('oci'), 'app-c', { layers: [await packFiles({ x: 'y' })] });
    expect(await outcomes(rig, '--rollback')).toEqual(['moved-since app-c']);
    expect(await digests(rig)).toEqual([expect.not.stringContaining(before[0]!), before[1], moved]);
  });

  it('gives new versions tags of their own, made anew from the image where they are behind', async () => {
    await using rig = await openFleet({ images: [{ from: 'oci:oci', tags: 'app-a', tag: '{tag}-patched' }] });
    const [before] = await digests(rig);
    await rig.ok(update());
    expect((await digests(rig))[0]).toBe(before);
    const patched = await tagDigest(rig, 'app-a-patched');
    expect(await rig.ok(['ls', 'app-a-patched:/etc'])).toContain('new\n');
    expect(await outcomes(rig)).toEqual(['unchanged app-a']);
    expect(await tagDigest(rig, 'app-a-patched')).toBe(patched);
  });

  it('writes references back where comments ask for it', async () => {
    await using rig = await openFleet();
    const yaml = (a: string, c: string) =>
      `a:\n  image: ${a} # stk: app-a\n  other: untouched # stk\nc: {image: "${c}"} # stk: oci:oci:app-c digest\nz: z # stk: nobody\n`;
    await rig.write('deploy.yaml', yaml('app:1', 'sha256:old'));
    const done = await rig.stk(update('--write-back', 'deploy.yaml'));
    expect(done).toMatchObject({ exitCode: 0 });
    expect(done.stderr).toContain('nobody is none of the images');
    const [a, , c] = await digests(rig);
    expect(await readFile(rig.path('deploy.yaml'), 'utf8')).toBe(yaml(`oci:${rig.path('oci')}:app-a@${a}`, c!));
  });

  it('takes no option without its fleet, and no image with it', async () => {
    await using rig = await openFleet();
    for (const args of [
      ['update', 'app-a', '--apply', 'ssl', '--canary', '1'],
      update('app-a'),
      update('--all'),
      update('--canary', '1'),
    ]) {
      expect(await rig.stk(args)).toMatchObject({ exitCode: 2 });
    }
  });
});
