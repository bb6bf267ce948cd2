import { tmpdir } from 'node:os';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { makeTempDir } from '../host/temp-dir.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import { certificateDirectories, loadCertificates } from './certificates.ts';
import { matchRule, pullEndpoints, readRegistryRules, type RegistryRule } from './registries-conf.ts';

async function rulesOf(text: string): Promise<readonly RegistryRule[]> {
  await using directory = await makeTempDir(tmpdir(), 'stk-conf');
  const file = path.join(directory.path, 'registries.conf');
  await writeFile(file, text);
  return await readRegistryRules({ registriesConf: file });
}

async function endpoints(text: string, reference: string): Promise<readonly string[]> {
  const found = pullEndpoints(await rulesOf(text), parseRegistryReference(reference));
  return found.map(
    ({ host, repository, insecure, pull }) => `${host}/${repository} ${insecure ? 'insecure' : 'tls'} ${pull}`,
  );
}

const table = (fields: string) => `[[registry]]\n${fields}\n`;

it.each([
  ['nothing configured', '', 'h.io/a/b', ['h.io/a/b tls all']],
  ['only comments', '# [[registry]]\n', 'h.io/a/b', ['h.io/a/b tls all']],
  ['an insecure registry', table('location = "h.io"\ninsecure = true'), 'h.io/a/b', ['h.io/a/b insecure all']],
  ['a moved prefix', table('prefix = "h.io/a"\nlocation = "o.io:5000/x/y"'), 'h.io/a/b', ['o.io:5000/x/y/b tls all']],
  ['a prefix that ends elsewhere', table('prefix = "h.io/a"\nlocation = "o.io"'), 'h.io/ab/b', ['h.io/ab/b tls all']],
  ['a port that is no tag', table('location = "h.io"\ninsecure = true'), 'h.io:5000/a', ['h.io:5000/a tls all']],
  [
    'the longer prefix',
    table('location = "h.io"\ninsecure = true') + table('location = "h.io/a"'),
    'h.io/a/b',
    ['h.io/a/b tls all'],
  ],
  [
    'any host of a domain',
    table('prefix = "*.example.com"\nlocation = "o.io/p"'),
    'x.example.com/a',
    ['o.io/p/a tls all'],
  ],
  [
    'mirrors',
    table(
      'location = "h.io"\n[[registry.mirror]]\nlocation = "m.io/copy"\ninsecure = true\n[[registry.mirror]]\nlocation = "n.io"\npull-from-mirror = "digest-only"',
    ),
    'h.io/a',
    ['m.io/copy/a insecure all', 'n.io/a tls digest-only', 'h.io/a tls all'],
  ],
])('reads from where the configuration says: %s', async (_, text, reference, expected) => {
  expect(await endpoints(text, reference)).toEqual(expected);
});

it('refuses what is blocked', async () => {
  const rules = await rulesOf(table('location = "h.io/a"\nblocked = true'));
  expect(() => pullEndpoints(rules, parseRegistryReference('h.io/a/b:1'))).toThrow(
    expect.objectContaining({ code: 'unauthorized' }),
  );
  expect(matchRule(rules, parseRegistryReference('h.io/b'))).toBeUndefined();
});

it.each([
  ['no TOML', '[[registry]]\nlocation = \n'],
  ['version 1', '[registries.search]\nregistries = ["a"]\n'],
  ['a number for a location', table('location = 7')],
  ['no prefix', table('insecure = true')],
  ['a wild prefix', table('prefix = "h.io/*"')],
  ['a mirror without a location', `${table('location = "h.io"')}[[registry.mirror]]\ninsecure = true\n`],
  [
    'an unknown way to pull',
    `${table('location = "h.io"')}[[registry.mirror]]\nlocation = "m"\npull-from-mirror = "x"\n`,
  ],
])('reports a file with %s', async (_, text) => {
  await expect(rulesOf(text)).rejects.toMatchObject({ code: 'invalid-input' });
});

it('lets files of the .d directory win over the main one', async () => {
  await using directory = await makeTempDir(tmpdir(), 'stk-conf');
  const conf = path.join(directory.path, '.config/containers');
  await mkdir(path.join(conf, 'registries.conf.d'), { recursive: true });
  await writeFile(path.join(conf, 'registries.conf'), table('location = "h.io"\ninsecure = true'));
  await writeFile(path.join(conf, 'registries.conf.d/10.conf'), table('location = "h.io"\nblocked = true'));
  await writeFile(path.join(conf, 'registries.conf.d/20.conf'), table('location = "h.io"'));
  const rules = await readRegistryRules({ home: directory.path });
  expect(rules.filter(rule => rule.prefix === 'h.io')).toMatchObject([{ insecure: false, blocked: false }]);
});

it('finds certificates in the first directory that knows the host', async () => {
  await using directory = await makeTempDir(tmpdir(), 'stk-certs');
  const own = path.join(directory.path, '.config/containers/certs.d/h.io:5000');
  await mkdir(own, { recursive: true });
  const directories = certificateDirectories(directory.path).slice(0, 1);
  const pem = (name: string) => `-----BEGIN ${name}-----\n`;
  for (const name of ['a.crt', 'b.crt', 'client.cert', 'client.key']) await writeFile(path.join(own, name), pem(name));
  const { host } = parseRegistryReference('h.io:5000/x');
  expect(await loadCertificates(host, directories)).toEqual({
    ca: [pem('a.crt'), pem('b.crt')],
    cert: pem('client.cert'),
    key: pem('client.key'),
  });
  expect(await loadCertificates(parseRegistryReference('h.io/x').host, directories)).toBeUndefined();
  await writeFile(path.join(own, 'lonely.cert'), pem('lonely'));
  await expect(loadCertificates(host, directories)).rejects.toMatchObject({ code: 'invalid-input' });
});
