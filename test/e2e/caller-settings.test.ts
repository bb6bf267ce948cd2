import { describe, expect, inject, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { SHELL } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

/** What a step leaves depends on everything that it could have taken over from whoever called stk. */
const RECIPE = {
  shell: SHELL,
  app: {
    from: 'shell',
    imports: [{ content: 'x', dest: '/inline' }, { path: 'file', dest: '/dir/file' }, 'tree'],
    overlay_dirs: ['tree -> /tree'],
    cache_dirs: ['/cache/deep'],
    run: [
      'mkdir -p /made/deep; touch /made/file; umask > /umask; ulimit -a | grep -v pending > /limits; uname -m > /machine',
      'cut -d" " -f19 /proc/self/stat > /nice; grep -E "^(Sig[BIC]|NoNew)" /proc/self/status > /status',
      'stat -c "%a %u:%g %n" / /etc /etc/hosts /etc/resolv.conf /stacker /stacker/imports /stacker/imports/* /cache /cache/deep > /modes',
    ],
  },
};

/** Each beginning of a shell script that sets something which a process hands on. */
const CALLERS = {
  'a strict umask, limits, ignored signals and a personality':
    'umask 077; ulimit -S -f 1000000; ulimit -S -n 400; ulimit -S -s 2048; trap "" HUP INT QUIT TERM USR1; exec setarch linux32 sh -e go',
  // Everything below inherits an ACL (acl(5)).
  'no umask, and directories that hand on ACLs':
    'umask 0; setfattr -n system.posix_acl_default -v 0x0200000001000700ffffffff02000700e903000004000500ffffffff10000700ffffffff20000000ffffffff .',
};

describe.each(['root', 'user'] as const)('called by %s', actor => {
  requires('root', 'overlay', 'fuse', 'tool:busybox', 'tool:bwrap', 'tool:setfattr');

  it('nothing of the caller’s settings reaches images and containers', async () => {
    await using rig = await StkRig.open({ as: actor });
    const { node, cli } = inject('stk');
    const stk = `${node} ${cli}`;
    const inside =
      'cat /umask /limits /machine /nice /status /modes; umask; ulimit -n; ulimit -f; uname -m; stat -c %a /etc/hosts /etc/resolv.conf /made-by-run';
    await rig.write('stacker.yaml', RECIPE);
    await rig.write('file', 'one', 0o644);
    await rig.write('tree/sub/file', 'two');
    await rig.write(
      'go',
      `SOURCE_DATE_EPOCH=1 ${stk} -q build
       ${stk} ls -l -R app
       ${stk} run -w /made-by-run app sh -c '${inside}'
       ${stk} run -u 1000 app cat /etc/hosts /etc/resolv.conf > /dev/null`,
    );
    const run = (before: string) =>
      script(rig, actor, `rm -rf .stk oci; ${before.includes('exec') ? before : `${before}\nsh -e go`}`);
    const expected = await run(':');
    expect(expected).toContain('0022');
    for (const [what, before] of Object.entries(CALLERS)) expect([what, await run(before)]).toEqual([what, expected]);
  }, 300_000);

  it('a strict umask keeps the layout to the caller', async () => {
    await using rig = await StkRig.open({ as: actor });
    const { node, cli } = inject('stk');
    await rig.write('stacker.yaml', { shell: SHELL });
    await script(rig, actor, `umask 077; ${node} ${cli} -q build`);
    expect(await script(rig, actor, 'stat -c %a oci .stk')).toBe('700\n700');
  });
});
