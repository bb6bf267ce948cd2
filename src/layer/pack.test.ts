import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import {
  hostTree,
  imageTree,
  lowerDirectory,
  lowerOf,
  quickOptions,
  run,
  temporaryDirectory,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { emptyLower } from './lower-tree.ts';
import { packLayer, type PackRequest } from './pack.ts';

requires('root', 'kernel-squashfs', 'tool:mksquashfs', 'tool:setfattr');

const directory = temporaryDirectory();
const output = `${directory}/layer` as AbsPath;
const upper = `${directory}/upper` as AbsPath;
afterAll(() => directory[Symbol.dispose]());
beforeEach(() => {
  run('rm', '-rf', upper, output);
  mkdirSync(upper);
});

const pack = (more: Partial<PackRequest> = {}) =>
  packLayer({ upper, lower: emptyLower, output, options: quickOptions, ...more });
const script = (text: string) => execFileSync('sh', ['-ec', text], { cwd: upper, stdio: 'pipe' });

it('what a layer holds, the kernel mounts as the same tree', async () => {
  script(`mkdir -p d/e; echo hello >d/f; ln d/f d/e/g; ln -s nowhere s; mknod w c 0 0; mknod n b 7 9; mkfifo p
    truncate -s 1G sparse; echo end >>sparse; cp /bin/true cap; setcap cap_net_raw+ep cap; setfattr -n user.k -v v d
    chown 70000:5 d/f; chmod 6751 d/f; chmod 1711 .; chown 3 .; setfattr -n user.root -v x .; touch -hd @5 d/f s`);
  writeFileSync(Buffer.from(`${upper}/n\xff\n \\ name`, 'latin1'), 'bytes');
  const layer = await pack();
  expect(layer).toMatchObject({ empty: false, entries: 10 });
  run('mkdir', '-p', `${directory}/mnt`);
  run('mount', '-t', 'squashfs', '-o', 'loop,ro', output, `${directory}/mnt`);
  try {
    expect(hostTree(`${directory}/mnt`)).toEqual(hostTree(upper));
  } finally {
    run('umount', `${directory}/mnt`);
  }
});

it('files get the owners that are asked for, and keep all else', async () => {
  const make = (uid: number, gid: number) => {
    run('rm', '-rf', upper);
    mkdirSync(upper);
    script(`mkdir d; echo hello >d/f; ln d/f g; ln -s nowhere s; cp /bin/true cap; mkfifo p; touch 101
      chown -h ${uid}:${gid} d/f s cap p; chown 7:${gid} d; chown ${uid}:7 101; chmod 6751 d/f; chmod 2750 d
      setcap cap_net_raw+ep cap; find . -exec touch -hd @5 {} +`);
    return hostTree(upper);
  };
  const wanted = make(301, 302);
  make(101, 102);
  await pack({ owners: { uids: [{ from: 101, to: 301, count: 1 }], gids: [{ from: 102, to: 302, count: 1 }] } });
  run('mkdir', '-p', `${directory}/mnt`);
  run('mount', '-t', 'squashfs', '-o', 'loop,ro', output, `${directory}/mnt`);
  try {
    expect(hostTree(`${directory}/mnt`)).toEqual(wanted);
  } finally {
    run('umount', `${directory}/mnt`);
  }
});

describe('the upper directory of an overlay', () => {
  const overlay = (commands: string) => {
    const [lower, work, merged] = ['lower', 'work', 'merged'].map(name => `${directory}/${name}`);
    run('rm', '-rf', lower!, work!);
    run('mkdir', '-p', `${lower}/old/sub`, work!, merged!);
    writeFileSync(`${lower}/old/file`, 'old');
    writeFileSync(`${lower}/gone`, 'x');
    run(
      'mount',
      '-t',
      'overlay',
      '-o',
      `userxattr,lowerdir=${lower},upperdir=${upper},workdir=${work}`,
      'overlay',
      merged!,
    );
    try {
      execFileSync('sh', ['-ec', commands], { cwd: merged, stdio: 'pipe' });
    } finally {
      run('umount', merged!);
    }
  };
  const lower = lowerOf({ old: lowerDirectory(), 'old/sub': lowerDirectory(), gone: { type: 'other' } });

  it('gives whiteouts, and opaque marks only where something is hidden', async () => {
    overlay(
      'rm gone; rm -r old; mkdir old; echo new >old/new; mkdir -p fresh/deep; chmod 700 .; echo more >fresh/file',
    );
    await pack({ lower });
    const tree = imageTree(output);
    const marked = Object.keys(tree).filter(name => /overlay/.test(tree[name]!));
    expect(marked).toEqual(['./old']);
    expect(tree['./old']).toMatch(/user.overlay.opaque=0x79$/);
    expect(tree['./gone']).toMatch(/^c \d+ 0:0 @\d+ 0$/);
    expect(tree['.']).toMatch(/^d 700/);
  });

  it('loses what overlayfs noted for itself', async () => {
    overlay('echo changed >>old/file; chmod 600 gone; touch old/sub/x');
    expect(run('getfattr', '-R', '-h', '-d', '-m', 'overlay', upper)).toContain('user.overlay');
    await pack({ lower });
    expect(Object.values(imageTree(output)).join('\n')).not.toContain('overlay');
  });

  it('marks of a mount without userxattr count as well', async () => {
    script(
      'mkdir old fresh; setfattr -n trusted.overlay.opaque -v y old fresh; setfattr -n trusted.overlay.origin -v x old',
    );
    await pack({ lower });
    const tree = imageTree(output);
    expect([tree['./old'], tree['./fresh']].map(text => /\S*overlay\S*/.exec(text!)?.[0])).toEqual([
      'user.overlay.opaque=0x79',
      undefined,
    ]);
  });

  it('is refused where it points into a lower layer', async () => {
    script('mkdir d; setfattr -n user.overlay.redirect -v /x d');
    await expect(pack()).rejects.toMatchObject({ code: 'unsupported' });
    expect(existsSync(output)).toBe(false);
  });
});

describe('what is left out', () => {
  it('nothing at all gives no layer', async () => {
    expect(await pack()).toEqual({ empty: true, entries: 0 });
    expect(existsSync(output)).toBe(false);
  });

  it('excluded paths, and a layer of nothing else is none', async () => {
    script('mkdir -p a/b/c; echo x >a/b/c/d');
    expect(await pack({ exclude: ['/a', 'missing/path'] })).toEqual({ empty: true, entries: 0 });
  });

  it('an excluded path is never looked for behind a symlink', async () => {
    const outside = `${directory}/outside`;
    run('mkdir', '-p', outside);
    writeFileSync(`${outside}/kept`, '');
    script(`ln -s ${outside} link; mkdir d; ln -s ${outside}/kept d/kept`);
    await pack({ exclude: ['link/kept', 'd/kept'] });
    expect(readdirSync(outside)).toEqual(['kept']);
    expect(Object.keys(imageTree(output))).toEqual(['.', './d', './link']);
  });

  it('sockets, with a warning', async () => {
    script(`python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'`);
    const warnings: string[] = [];
    const onWarning = (text: string) => warnings.push(text);
    expect(await pack({ onWarning })).toEqual({ empty: true, entries: 0 });
    script('echo x >f');
    expect(await pack({ onWarning })).toMatchObject({ entries: 1 });
    expect(warnings.join()).toContain('sock');
  });
});

describe('the same tree', () => {
  const files = fc.uniqueArray(
    fc.stringMatching(/^[a-z]{1,3}\/[^/\0]{1,30}$/).filter(name => !/\/\.{1,2}$/.test(name)),
    { minLength: 1, maxLength: 12 },
  );

  it('gives the same bytes, in whatever order it was made', async () => {
    await fc.assert(
      fc.asyncProperty(files, async names => {
        const digests: unknown[] = [];
        for (const order of [names, names.toReversed()]) {
          run('rm', '-rf', upper, output);
          mkdirSync(upper);
          for (const name of order) {
            mkdirSync(`${upper}/${name.split('/')[0]}`, { recursive: true });
            writeFileSync(`${upper}/${name}`, name.repeat(2000));
          }
          run('ln', '--', `${upper}/${names.toSorted()[0]}`, `${upper}/hard link`);
          const layer = await pack({ epochSeconds: 1000, options: { ...quickOptions, verity: true } });
          digests.push(layer);
        }
        expect(digests[0]).toEqual(digests[1]);
      }),
      { numRuns: 8 },
    );
  });

  it('has newer times set to the epoch, older ones kept, and its creation time', async () => {
    script('echo x >old; echo x >new; touch -d @1000 old; touch -d @3000 new .');
    await pack({ epochSeconds: 2000 });
    const times = Object.entries(imageTree(output)).map(([name, text]) => [name, /@(\d+)/.exec(text)![1]]);
    expect(Object.fromEntries(times)).toEqual({ '.': '2000', './new': '2000', './old': '1000' });
    expect(readFileSync(output).readUInt32LE(8)).toBe(2000);
    await pack();
    expect(readFileSync(output).readUInt32LE(8)).toBe(0);
  });

  it.each(['gzip', 'xz', 'lz4'] as const)('packs with %s', async compressor => {
    script('seq 10000 >numbers');
    await pack({ options: { compressor, blockSizeBytes: 4096, verity: true } });
    expect(run('unsquashfs', '-s', output)).toContain(`Compression ${compressor}`);
    expect(imageTree(output)).toEqual(hostTree(upper));
  });
});

it('nothing is left when it is interrupted', async () => {
  script('head -c 30M /dev/urandom >big');
  const controller = new AbortController();
  const running = pack({ signal: controller.signal });
  controller.abort();
  await expect(running).rejects.toMatchObject({ code: 'interrupted' });
  expect(existsSync(output)).toBe(false);
});

it('a full disk is said to be one', async () => {
  script('head -c 3M /dev/urandom >big');
  const disk = `${directory}/disk`;
  run('mkdir', '-p', disk);
  run('mount', '-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', disk);
  try {
    await expect(pack({ output: `${disk}/layer` as AbsPath })).rejects.toMatchObject({ code: 'storage' });
    expect(readdirSync(disk)).toEqual([]);
  } finally {
    run('umount', disk);
  }
});
