// Time until the first file of an image can be read, beside unpacking and pulling the same image; reading a whole tree
// through each kind of mount, beside ext4; and whether the size of an image matters.
//
//   npm run bench mount ROOT.tar [LARGE_MB]     for example a Debian root; run as root
//
// LARGE_MB (default 5000) is the size of an image of random bytes that is mounted beside one of 50 MB; 0 leaves it out.
// Needs umoci, podman and mkfs.ext4.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { report, shell, sideBySide, type Command } from './rig.ts';

const ROUNDS = 3;
const [tar, largeMb = '5000'] = process.argv.slice(2);
if (tar === undefined) {
  process.stderr.write('usage: npm run bench mount ROOT.tar [LARGE_MB]\n');
  process.exit(2);
}
const stk = `${process.execPath} ${path.resolve('dist/stk.js')}`;
// podman takes the path for a name, in which capitals are not allowed.
const work = path.join(os.tmpdir(), `stk-bench-${process.pid}`);
mkdirSync(work);
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const cwd = work;
const dropCaches = () => shell('sync; echo 3 > /proc/sys/vm/drop_caches');

async function build(): Promise<void> {
  const recipe: Record<string, unknown> = { app: { from: { type: 'tar', url: path.resolve(tar!) } } };
  if (Number(largeMb) > 0) {
    for (const [name, size] of [
      ['small', 50],
      ['large', Number(largeMb)],
    ] as const) {
      mkdirSync(path.join(work, name));
      await shell(`head -c ${size}M /dev/urandom > data; echo first > first`, { cwd: path.join(work, name) });
      recipe[name] = { from: 'scratch', overlay_dirs: [path.join(work, name)] };
    }
  }
  writeFileSync(path.join(work, 'stacker.yaml'), JSON.stringify(recipe));
  await shell(`${stk} build --progress quiet --layer-type squashfs --layer-type tar app`, { cwd });
  if (recipe['large']) await shell(`${stk} build --progress quiet small large`, { cwd });
}

/** Mounts, reads one file and unmounts in the next preparation, which is not timed. */
function mounting(name: string, image: string, flags: string, first: string): Command {
  return {
    name,
    script: `${stk} mount ${image} m ${flags} >/dev/null && cat "m/${first}" >/dev/null`,
    cwd,
    prepare: () => shell(`${stk} umount m >/dev/null 2>&1 || true`, { cwd }),
  };
}

await build();
const first = 'etc/passwd';
const storage = `--root ${work}/storage --runroot ${work}/runroot`;
const ready = await sideBySide(
  [
    mounting('stk mount --kernel --verify off', 'app', '--kernel --verify off', first),
    mounting('stk mount (blocks checked)', 'app', '', first),
    mounting('stk mount --fuse --verify off', 'app', '--fuse --verify off', first),
    {
      name: 'umoci unpack',
      script: `umoci unpack --image oci:app-tar bundle && cat bundle/rootfs/${first} >/dev/null`,
      cwd,
      prepare: () => shell(`${stk} umount m >/dev/null 2>&1 || true; rm -rf bundle`, { cwd }),
    },
    {
      name: 'podman pull',
      script: `podman ${storage} pull -q oci:${work}/oci:app-tar`,
      cwd,
      prepare: () => shell(`podman ${storage} rmi -a -f`, { cwd }),
    },
  ],
  ROUNDS,
);
report('until the first file can be read', ready);

if (Number(largeMb) > 0) {
  const sizes = await sideBySide(
    [
      mounting('50 MB, blocks not checked', 'small', '--verify off', 'first'),
      mounting(`${largeMb} MB, blocks not checked`, 'large', '--verify off', 'first'),
      mounting('50 MB, blocks checked', 'small', '', 'first'),
      mounting(`${largeMb} MB, blocks checked`, 'large', '', 'first'),
    ],
    ROUNDS,
  );
  report('mount and first file by the size of the image', sizes);
}

const readAll = 'find . -xdev -type f -exec cat {} + | wc -c >/dev/null';
await shell(
  `${stk} umount m >/dev/null 2>&1 || true; truncate -s 8G ext4 && mkdir tree && tar -C tree -xf "${path.resolve(tar)}" && mkfs.ext4 -q -d tree ext4 && mkdir -p e && mount -o loop,ro ext4 e`,
  { cwd },
);
const mounts = [
  ['kernel', '--kernel --verify off'],
  ['checked', '--kernel'],
  ['fuse', '--fuse --verify off'],
  ['fuse-checked', '--fuse'],
] as const;
try {
  for (const [name, flags] of mounts) await shell(`${stk} mount app ${name} ${flags} >/dev/null`, { cwd });
  const reading = (name: string, directory: string): Command => ({
    name,
    script: readAll,
    cwd: path.join(work, directory),
    prepare: dropCaches,
  });
  const tables = await sideBySide(
    [
      reading('ext4 on a loop device', 'e'),
      reading('kernel squashfs', 'kernel'),
      reading('kernel squashfs, blocks checked by stk', 'checked'),
      reading('squashfuse_ll, kernel overlay', 'fuse'),
      reading('squashfuse_ll, blocks checked by stk', 'fuse-checked'),
    ],
    3,
  );
  report('the whole tree, nothing in memory', tables);
} finally {
  await shell(`umount e; for m in ${mounts.map(([name]) => name).join(' ')}; do ${stk} umount $m || true; done`, {
    cwd,
  });
}
