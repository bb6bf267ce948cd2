import { describe, expect, it } from 'vitest';
import { isStkError } from '../core/errors.ts';
import { chooseMethod, type HostAbilities, type Wish } from './choose-method.ts';

const root: HostAbilities = {
  privileges: { uid: 0, userName: 'root', initialUserNamespace: true, canMount: true, subordinateIds: 0 },
  missingForLoop: undefined,
  missingForDmVerity: undefined,
  missingForUserVerity: 'no server',
  fuseDevice: true,
  missingTools: [],
};
const user: HostAbilities = {
  ...root,
  privileges: { uid: 1000, userName: 'u', initialUserNamespace: true, canMount: false, subordinateIds: 65_536 },
};
const inside: HostAbilities = {
  ...root,
  privileges: { uid: 0, userName: 'root', initialUserNamespace: false, canMount: true, subordinateIds: 0 },
};
const noVerity = { ...root, missingForDmVerity: 'no device-mapper' };

const verity = { verityRoot: 'a'.repeat(64), packedByStk: false };
const packed = { verityRoot: undefined, packedByStk: true };
const foreign = { verityRoot: undefined, packedByStk: false };

function wish(changes: Partial<Wish> = {}): Wish {
  return { engine: 'auto', verify: 'auto', layers: [verity], ...changes };
}

describe('the method', () => {
  it.each<[string, HostAbilities, Partial<Wish>, object]>([
    ['root, verity', root, {}, { layers: 'kernel', overlay: 'kernel', verity: 'dm', warnings: [] }],
    ['root, packed by stk', root, { layers: [packed] }, { layers: 'kernel', verity: 'none', warnings: [] }],
    ['root, one foreign layer', root, { layers: [verity, foreign] }, { layers: 'fuse', overlay: 'kernel' }],
    ['root, foreign, --kernel', root, { layers: [foreign], engine: 'kernel' }, { layers: 'kernel' }],
    ['root, --fuse', root, { engine: 'fuse' }, { layers: 'fuse', overlay: 'kernel' }],
    ['root, --verify off', root, { verify: 'off' }, { layers: 'kernel', verity: 'none', warnings: [] }],
    ['root without loop devices', { ...root, missingForLoop: 'none' }, {}, { layers: 'fuse', overlay: 'kernel' }],
    ['an ordinary user', user, { verify: 'off' }, { layers: 'fuse', overlay: 'fuse', verity: 'none' }],
    ['in a user namespace', inside, { verify: 'off' }, { layers: 'fuse', overlay: 'kernel' }],
    ['a file server, no dm', { ...noVerity, missingForUserVerity: undefined }, {}, { verity: 'user', warnings: [] }],
    ['a file server, FUSE', { ...root, missingForUserVerity: undefined }, { engine: 'fuse' }, { verity: 'user' }],
  ])('%s', (_name, host, changes, expected) => {
    expect(chooseMethod(host, wish(changes))).toMatchObject(expected);
  });

  it('warns of short files where fuse-overlayfs lies above what is required to be checked', () => {
    const host = { ...user, missingForUserVerity: undefined };
    expect(chooseMethod(host, wish({ verify: 'require' })).warnings).toEqual([
      expect.stringContaining('fuse-overlayfs'),
    ]);
    expect(chooseMethod(host, wish()).warnings).toEqual([]);
  });

  it('warns of what goes unchecked', () => {
    expect(chooseMethod(root, wish({ layers: [verity, packed] })).warnings).toHaveLength(1);
    expect(chooseMethod(noVerity, wish()).warnings).toEqual([expect.stringContaining('no device-mapper')]);
  });

  it.each<[string, HostAbilities, Partial<Wish>, string, RegExp]>([
    ['--kernel for an ordinary user', user, { engine: 'kernel' }, 'missing-capability', /FUSE works/],
    ['--kernel in a user namespace', inside, { engine: 'kernel' }, 'missing-capability', /FUSE works/],
    ['no squashfuse', { ...user, missingTools: ['squashfuse_ll'] }, {}, 'missing-capability', /install.* squashfuse/],
    ['no fuse-overlayfs', { ...user, missingTools: ['fuse-overlayfs'] }, {}, 'missing-capability', /fuse-overlayfs/],
    ['no /dev/fuse', { ...user, fuseDevice: false }, {}, 'missing-capability', /modprobe fuse/],
    ['require, no root hash', root, { verify: 'require', layers: [verity, packed] }, 'integrity', /--verify auto/],
    ['require, nothing to check with', noVerity, { verify: 'require' }, 'missing-capability', /stk verify/],
    [
      'a foreign image, no squashfuse',
      { ...root, missingTools: ['squashfuse_ll'] },
      { layers: [foreign] },
      'missing-capability',
      /--kernel/,
    ],
  ])('refuses: %s', (_name, host, changes, code, hint) => {
    let caught: unknown;
    try {
      chooseMethod(host, wish(changes));
    } catch (error) {
      caught = error;
    }
    expect(isStkError(caught) && [caught.code, caught.hint]).toEqual([code, expect.stringMatching(hint)]);
  });

  it('needs no fuse-overlayfs where the kernel overlays', () => {
    const host = { ...inside, missingTools: ['fuse-overlayfs', 'fusermount3'] };
    expect(chooseMethod(host, wish({ verify: 'off' })).overlay).toBe('kernel');
  });
});
