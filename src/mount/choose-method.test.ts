import { describe, expect, it } from 'vitest';
import { isStkError } from '../core/errors.ts';
import { chooseMethod, type HostAbilities, type LayerFacts, type Wish } from './choose-method.ts';

const root: HostAbilities = {
  privileges: { uid: 0, userName: 'root', initialUserNamespace: true, canMount: true, subordinateIds: 0 },
  missingForLoop: undefined,
  missingForDmVerity: undefined,
  missingForUserVerity: 'no server',
  missingForFuse: undefined,
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

const hash = 'a'.repeat(64);
const verity: LayerFacts = { verityRoot: hash, known: 'packed-here', otherWriter: undefined };
const packed: LayerFacts = { ...verity, verityRoot: undefined };
const signed: LayerFacts = { ...verity, known: 'signed' };
/** Whatever its manifest says: an annotation is no knowledge. */
const claimed: LayerFacts = { ...verity, known: undefined };
const foreign: LayerFacts = { ...claimed, verityRoot: undefined };
const shared: LayerFacts = { ...verity, otherWriter: '/home belongs to uid 1000' };
const sharedPlain: LayerFacts = { ...shared, verityRoot: undefined };

function wish(changes: Partial<Wish> = {}): Wish {
  return { engine: 'auto', verify: 'auto', trusted: false, layers: [verity], ...changes };
}

describe('the method', () => {
  it.each<[string, HostAbilities, Partial<Wish>, object]>([
    ['root, verity', root, {}, { layers: 'kernel', overlay: 'kernel', verity: 'dm', warnings: [] }],
    ['root, no verity', root, { layers: [packed] }, { layers: 'kernel', verity: 'none', compares: true, warnings: [] }],
    ['root, signed', root, { layers: [signed, verity] }, { layers: 'kernel', verity: 'dm' }],
    ['root, one foreign layer', root, { layers: [verity, foreign] }, { layers: 'fuse', overlay: 'kernel' }],
    ['root, a root hash that an image claims', root, { layers: [claimed] }, { layers: 'fuse', overlay: 'kernel' }],
    ['root, for a moment', root, { verify: 'once' }, { layers: 'kernel', verity: 'none', compares: true }],
    ['root, for a moment, foreign', root, { verify: 'once', layers: [foreign] }, { layers: 'fuse', compares: true }],
    ['root, others write, checked', root, { layers: [shared] }, { layers: 'kernel', verity: 'dm' }],
    ['root, others write, no tree', root, { layers: [verity, sharedPlain] }, { layers: 'fuse' }],
    ['root, others write, unchecked', root, { layers: [shared], verify: 'off' }, { layers: 'fuse', compares: false }],
    ['root, others write, for a moment', root, { layers: [shared], verify: 'once' }, { layers: 'fuse' }],
    ['root, others write, nothing to check with', noVerity, { layers: [shared] }, { layers: 'fuse', verity: 'none' }],
    ['root, unchecked', root, { verify: 'off' }, { layers: 'kernel', compares: true }],
    ['root, trusted by configuration', root, { layers: [foreign, shared], trusted: true }, { layers: 'kernel' }],
    ['root, trusted, --fuse', root, { layers: [foreign], trusted: true, engine: 'fuse' }, { layers: 'fuse' }],
    ['root, --kernel, unchecked', root, { engine: 'kernel', verify: 'off' }, { layers: 'kernel', compares: false }],
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
    ['no /dev/fuse', { ...user, missingForFuse: '/dev/fuse is absent' }, {}, 'missing-capability', /modprobe fuse/],
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
