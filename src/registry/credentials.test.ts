import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCredentials, type AskCredentialHelper } from './credentials.ts';
import { removeCredentials, storeCredentials } from './login.ts';

let home: string;
beforeEach(async () => void (home = await mkdtemp(path.join(tmpdir(), 'stk-credentials-'))));
afterEach(() => rm(home, { recursive: true, force: true }));

const encode = (text: string) => ({ auth: Buffer.from(text).toString('base64') });

async function write(file: string, content: unknown): Promise<string> {
  const target = path.join(home, file);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, typeof content === 'string' ? content : JSON.stringify(content));
  return target;
}

async function userFor(host: string, repository: string, askHelper?: AskCredentialHelper): Promise<string | undefined> {
  const environment = { home, runtimeDir: path.join(home, 'run') };
  const found = await findCredentials(host, repository, { environment, ...(askHelper ? { askHelper } : {}) });
  return found?.kind === 'password' ? `${found.username}:${found.password}` : found?.token;
}

describe('finding credentials', () => {
  it.each([
    ['h.example', 'ns/app', 'app:1'],
    ['h.example', 'ns/other', 'ns:2'],
    ['h.example', 'nsx/app', 'host:3'],
    ['h.example:5000', 'ns/app', 'port:4'],
    ['other.example', 'ns/app', undefined],
    ['docker.io', 'library/debian', 'hub:5:with:colons'],
    ['url.example', 'a', 'url:6'],
    ['token.example', 'a', 'refresh-token'],
    ['__proto__', 'a', undefined],
  ])('of %s/%s are %s', async (host, repository, expected) => {
    await write('run/containers/auth.json', {
      auths: {
        'h.example': encode('host:3'),
        'h.example/ns': encode('ns:2'),
        'h.example/ns/app': encode('app:1'),
        'h.example:5000': encode('port:4'),
      },
    });
    await write('.docker/config.json', {
      auths: {
        'https://index.docker.io/v1/': encode('hub:5:with:colons'),
        'https://url.example': encode('url:6'),
        'token.example': { identitytoken: 'refresh-token' },
        'h.example': encode('never:asked'),
      },
    });
    expect(await userFor(host, repository)).toBe(expected);
  });

  it('asks the helper of the host, then entries, then the general helper', async () => {
    await write('.docker/config.json', {
      auths: { 'b.example': encode('file:b'), 'c.example': {} },
      credHelpers: { 'a.example': 'keychain' },
      credsStore: 'vault',
    });
    const asked: string[] = [];
    const ask: AskCredentialHelper = async (helper, server) => {
      asked.push(`${helper} ${server}`);
      return server === 'none.example' ? undefined : { username: helper, secret: server };
    };
    expect(await userFor('a.example', 'x', ask)).toBe('keychain:a.example');
    expect(await userFor('b.example', 'x', ask)).toBe('file:b');
    expect(await userFor('c.example', 'x', ask)).toBe('vault:c.example');
    expect(await userFor('docker.io', 'x', ask)).toBe('vault:https://index.docker.io/v1/');
    expect(await userFor('none.example', 'x', ask)).toBeUndefined();
    expect(asked).not.toContain('vault b.example');
  });

  it('takes the user <token> of a helper for a refresh token', async () => {
    await write('.docker/config.json', { credsStore: 'vault' });
    expect(await userFor('a.example', 'x', async () => ({ username: '<token>', secret: 'refresh' }))).toBe('refresh');
  });

  it.each(['{', '[]', '{"auths":[]}', '{"auths":{"h":7}}', '{"auths":{"h":{"auth":7}}}', '{"credsStore":7}'])(
    'refuses the file %s without quoting it',
    async content => {
      await write('.docker/config.json', content);
      await expect(userFor('h', 'x')).rejects.toMatchObject({ code: 'invalid-input' });
    },
  );

  it('refuses a helper whose name is a path, and credentials that are not user:password', async () => {
    await write('.docker/config.json', { credsStore: '../evil', auths: { h: { auth: 'AAAA' } } });
    await expect(userFor('other', 'x')).rejects.toMatchObject({ code: 'invalid-input' });
    await expect(userFor('h', 'x')).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('reads only $REGISTRY_AUTH_FILE where that is set', async () => {
    const registryAuthFile = await write('mine.json', { auths: {} });
    await write('.docker/config.json', { auths: { h: encode('a:b') } });
    expect(await findCredentials('h', 'x', { environment: { home, registryAuthFile } })).toBeUndefined();
  });
});

describe('logging in', () => {
  it('writes a file for the user alone, keeps what else is in it, and forgets again', async () => {
    const file = await write('run/containers/auth.json', { auths: { other: encode('a:b') }, unknown: 7 });
    const environment = { home, runtimeDir: path.join(home, 'run') };
    await storeCredentials('h.example', { username: 'user', password: 'päss:word' }, environment);
    expect(await userFor('h.example', 'x')).toBe('user:päss:word');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ unknown: 7, auths: { other: encode('a:b') } });
    expect(await removeCredentials('h.example', environment)).toBe(true);
    expect(await removeCredentials('h.example', environment)).toBe(false);
    expect(await userFor('h.example', 'x')).toBeUndefined();
    expect(await userFor('other', 'x')).toBe('a:b');
  });

  it('makes the directory, for the user alone, and loses none of several logins at once', async () => {
    const environment = { home };
    const hosts = ['a', 'b', 'c', 'd'];
    await Promise.all(hosts.map(host => storeCredentials(host, { username: 'u', password: host }, environment)));
    for (const host of hosts) expect(await userFor(host, 'x')).toBe(`u:${host}`);
    expect((await stat(path.join(home, '.config/containers'))).mode & 0o777).toBe(0o700);
  });

  it('has nowhere to write without a home', async () => {
    await expect(storeCredentials('h', { username: 'u', password: 'p' }, {})).rejects.toMatchObject({ code: 'usage' });
  });
});
