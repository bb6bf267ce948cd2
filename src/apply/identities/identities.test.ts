import { describe, expect, it } from 'vitest';
import { Layers, merge, sides, type AppliedSide, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { DRIVERS } from '../drivers.ts';
import { sharedSecrets } from './shared-secrets.ts';

const layers = new Layers();

async function merged(base: LayerContent, own: readonly AppliedSide[]) {
  const { tree, conflicts, result } = await merge(await layers.applied([base], own), DRIVERS);
  const files = Object.entries(tree).filter(([, text]) => !text.startsWith('directory'));
  return {
    files: Object.fromEntries(files.map(([path, text]) => [path, /"([^"\\]*)/.exec(text)![1]!.split(' ').at(-1)])),
    conflicts,
    remarks: result.remarks.map(({ text }) => text),
  };
}

const KEY = '-----BEGIN PRIVATE KEY-----\n';
const BASE = { 'etc/x': '' };
const SNAKEOIL = ['etc/ssl/private/ssl-cert-snakeoil.key', 'etc/ssl/certs/ssl-cert-snakeoil.pem'] as const;

describe('files that are one identity', () => {
  it.each<[string, readonly string[], string]>([
    [
      'a key and its certificate',
      SNAKEOIL,
      'the key ssl-cert-snakeoil and its certificate is that of python, not of ssl',
    ],
    [
      'a host key of ssh',
      ['etc/ssh/ssh_host_ed25519_key', 'etc/ssh/ssh_host_ed25519_key.pub'],
      'the ed25519 host key of ssh is that of python, not of ssl',
    ],
    ['the machine id', ['etc/machine-id', 'var/lib/dbus/machine-id'], 'the machine id is that of python, not of ssl'],
    ['a random seed', ['var/lib/systemd/random-seed'], "systemd's random seed is that of python, not of ssl"],
    [
      'parameters',
      ['etc/nginx/dhparam.pem'],
      'the Diffie-Hellman parameters dhparam.pem is that of python, not of ssl',
    ],
    [
      'a pair of the other distributions',
      ['etc/pki/tls/private/localhost.key', 'etc/pki/tls/certs/localhost.crt'],
      'the key localhost and its certificate is that of python, not of ssl',
    ],
  ])('come from one side, and that is told: %s', async (_, paths, remark) => {
    const of = (text: string) => Object.fromEntries(paths.map(path => [path, text]));
    const two = await merged(BASE, sides([of('one')], [of('two')]));
    expect(two).toEqual({ files: { 'etc/x': '', ...of('two') }, conflicts: [], remarks: [remark] });
    const rules = { [`/${paths.at(-1)!}`]: 'first' as const };
    const [one, other] = sides([of('one')], [of('two')]);
    const first = await merged(BASE, [one!, { ...other!, rules }]);
    expect(first.files).toEqual({ 'etc/x': '', ...of('one') });
    const same = await merged(BASE, sides([of('one')], [of('one')]));
    expect(same).toEqual({ files: { 'etc/x': '', ...of('one') }, conflicts: [], remarks: [] });
  });

  it('never come half from one side and half from the other', async () => {
    const [key, certificate] = SNAKEOIL;
    const base = { ...BASE, [key]: 'old', [certificate]: 'old' };
    // One made the pair anew, the other its certificate alone.
    const { files } = await merged(base, sides([{ [key]: 'one', [certificate]: 'one' }], [{ [certificate]: 'two' }]));
    expect([files[key], files[certificate]]).toEqual(['old', 'two']);
    // What has a key wins over what took it out.
    const without = { [key]: null, [certificate]: null };
    const made = await merged(base, sides([{ [key]: 'one', [certificate]: 'one' }], [without]));
    expect([made.files[key], made.files[certificate]]).toEqual(['one', 'one']);
  });

  it('keep the machine id of systemd where the last image has that of dbus alone', async () => {
    const [systemd, dbus] = ['etc/machine-id', 'var/lib/dbus/machine-id'];
    const one = { [systemd]: 'one' };
    const { files } = await merged(BASE, sides([one], [{ [dbus]: 'two' }]));
    expect(files).toEqual({ 'etc/x': '', ...one });
    const empty = await merged(BASE, sides([{ [systemd]: '' }], [{ [dbus]: 'two' }]));
    expect(empty.files[dbus]).toBe('two');
  });

  it('of different kinds come from different sides', async () => {
    const [rsa, ed25519] = ['etc/ssh/ssh_host_rsa_key', 'etc/ssh/ssh_host_ed25519_key'];
    const { files, conflicts } = await merged(BASE, sides([{ [rsa]: 'one' }], [{ [ed25519]: 'two' }]));
    expect(conflicts).toEqual([]);
    expect(files).toEqual({ 'etc/x': '', [rsa]: 'one', [ed25519]: 'two' });
  });
});

describe('an unknown private key that clashes', () => {
  it('is shown by name alone, and no rule is proposed that could part it from its certificate', async () => {
    const own = sides([{ 'etc/app/tls.pem': `${KEY}AAAA\n` }], [{ 'etc/app/tls.pem': `${KEY}BBBB\n` }]);
    const { conflicts } = (await merge(await layers.applied([BASE], own), DRIVERS)).result;
    expect(conflicts).toMatchObject([{ path: 'etc/app/tls.pem', remedies: [] }]);
    expect(JSON.stringify(conflicts)).not.toMatch(/AAAA|BBBB/);
  });
});

it('names secrets in the own layers of an image that is to be shared, with the line that removes them', async () => {
  const base = { 'etc/machine-id': 'base', 'etc/ssh/ssh_host_rsa_key': 'base' };
  const own: LayerContent = {
    [SNAKEOIL[0]]: KEY,
    [SNAKEOIL[1]]: 'c',
    'etc/machine-id': '',
    'etc/nginx/dhparam.pem': 'p',
    'etc/ssl/certs/other.pem': 'c',
    'var/lib/systemd/random-seed': 'r',
  };
  const [tree, below] = [await layers.stack([base, own]), await layers.stack([base])];
  expect(await sharedSecrets({ name: 'ssl', tree: tree!, base: below })).toEqual([
    {
      text: 'the key ssl-cert-snakeoil and its certificate (/etc/ssl/private/ssl-cert-snakeoil.key, /etc/ssl/certs/ssl-cert-snakeoil.pem) lies in a layer of ssl and is the same in every image that applies it',
      removal: 'rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem',
    },
    {
      text: "systemd's random seed (/var/lib/systemd/random-seed) lies in a layer of ssl and is the same in every image that applies it",
      removal: 'rm -f /var/lib/systemd/random-seed',
    },
  ]);
});
