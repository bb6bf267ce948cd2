import { cp } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

const EXAMPLES = path.resolve(import.meta.dirname, '../../examples');

interface Inspected {
  readonly digest: string;
  readonly layers: readonly {
    readonly digest: string;
    readonly role: string;
    readonly sharedWith: readonly string[];
  }[];
  readonly config: { readonly config?: { readonly Labels?: Readonly<Record<string, string>> } };
}

describe('the smallest recipe', () => {
  requires('userns', 'overlay', 'fuse');

  it.each<Actor>(['root', 'user'])('is built as %s', async actor => {
    await using rig = await StkRig.open({ as: actor });
    await cp(path.join(EXAMPLES, '../stacker.yaml'), rig.path('stacker.yaml'));
    expect(await rig.ok(['build'])).toMatch(/^demo sha256:[0-9a-f]{64}\n$/);
    const { layers } = await inspect(rig, 'demo');
    expect(layers.map(layer => layer.role)).toEqual(['import', 'run']);
    const blob = rig.path('oci/blobs/sha256', layers.at(-1)!.digest.slice('sha256:'.length));
    const { stdout } = await execa('unsquashfs', ['-cat', blob, 'etc/passwd']);
    expect(stdout).toBe('demo:x:1000:1000::/:/bin/sh');
  });
});

describe('the example of secrets and caches', () => {
  requires('userns', 'overlay', 'fuse');

  it('keeps the cache, and the secret to itself', async () => {
    await using rig = await examples();
    const env = { TOKEN: 'correct-horse-battery' };
    const buildVersion = (version: string) =>
      rig.stk(
        [...build('secrets-and-caches'), '--secret', 'id=token,env=TOKEN', '--substitute', `VERSION=${version}`],
        { env },
      );
    const first = await buildVersion('1');
    expect(first).toMatchObject({ exitCode: 0 });
    expect(first.stderr).toContain('downloading with a token of 21 characters');
    const second = await buildVersion('2');
    expect(second).toMatchObject({ exitCode: 0 });
    expect(second.stderr).not.toContain('downloading');
    const found = await execa('grep', ['-rl', env.TOKEN, rig.directory], { reject: false });
    expect(found.stdout).toBe('');
  });

  it('says which secret is missing', async () => {
    await using rig = await examples();
    const { exitCode, stderr } = await rig.stk(build('secrets-and-caches'));
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--secret id=token');
  });
});

describe('the examples on Debian', () => {
  requires('userns', 'overlay', 'fuse', 'debian-base');

  it('build a base from a tar', async () => {
    await using rig = await examples();
    await rig.ok([...build('debian'), ...base()]);
    const { layers, config } = await inspect(rig, 'debian');
    expect(layers.map(layer => layer.role)).toEqual(['base', 'run']);
    expect(config.config?.Labels?.['org.example.debian-version']).toMatch(/^12\./);
  });

  it('share the layers of ssl and python3 between two applications', async () => {
    await using rig = await examples();
    await rig.ok([...build('talk'), ...base()]);
    const [a, b] = [await inspect(rig, 'app-a'), await inspect(rig, 'app-b')];
    const shared = a.layers.filter(layer => layer.sharedWith.includes('app-b'));
    expect(shared.map(layer => layer.digest)).toEqual(b.layers.slice(0, -1).map(layer => layer.digest));
    expect(a.layers.map(layer => layer.role)).toEqual(['base', 'base', 'apply', 'apply', 'merge', 'import']);
    const [ssl, python3] = [await inspect(rig, 'ssl'), await inspect(rig, 'python3')];
    expect(a.layers.slice(2, 4).map(layer => layer.digest)).toEqual(
      [ssl, python3].map(image => image.layers.at(-1)!.digest),
    );
    expect(await rig.ok(['run', 'app-b'])).toBe('application b\n');
    expect(a.layers.at(-1)!.digest).not.toBe(b.layers.at(-1)!.digest);
  });

  it('compile a program and keep the compiler out', async () => {
    await using rig = await examples();
    const tags = await rig.ok([...build('multi-stage'), ...base()]);
    expect(tags.match(/^\S+/gm)).toEqual(['debian', 'hello']);
    const { layers } = await inspect(rig, 'hello');
    expect(layers).toHaveLength(1);
    const blob = rig.path('oci/blobs/sha256', layers[0]!.digest.slice('sha256:'.length));
    await execa('unsquashfs', ['-q', '-n', '-d', rig.path('unpacked'), blob]);
    expect((await execa(rig.path('unpacked/bin/hello'))).stdout).toBe('hello from a layer of one file');
  });
});

/** The ordinary user's rig, with a copy of the examples. */
async function examples(): Promise<StkRig> {
  const rig = await StkRig.open({ as: 'user' });
  await cp(EXAMPLES, rig.path('examples'), { recursive: true });
  return rig;
}

function build(name: string): string[] {
  return ['build', '-f', `examples/${name}/stacker.yaml`];
}

function base(): string[] {
  return ['--substitute', `BASE=${inject('stk').debianBase}`];
}

async function inspect(rig: StkRig, image: string): Promise<Inspected> {
  return JSON.parse(await rig.ok(['inspect', image, '--json'])) as Inspected;
}
