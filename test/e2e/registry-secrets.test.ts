import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { buildSample, makeKey } from '../rig/sample-build.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'tool:busybox');

const LOGIN = { username: 'ci', password: 'pass-of-the-registry' };
const BASIC = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64');
const KEY_PASSWORD = 'pass-of-the-key';

async function logIn(rig: StkRig, host: string): Promise<void> {
  await rig.write('home/.config/containers/auth.json', { auths: { [host]: { auth: BASIC } } }, 0o600);
}

/** Command lines of everything that runs. */
async function commandLines(): Promise<string> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.join('\n').replaceAll('\0', ' ');
}

/** The files below a directory in which any of the texts stands, with layers unpacked. */
async function holding(directory: string, texts: readonly string[]): Promise<readonly string[]> {
  const patterns = texts.flatMap(text => ['-e', text]);
  const found = await execa('grep', ['-rlaF', ...patterns, directory], { reject: false });
  const blobs = path.join(directory, 'oci/blobs/sha256');
  const inLayers: string[] = [];
  for (const name of await readdir(blobs)) {
    const listed = await execa('unsquashfs', ['-d', path.join(directory, `unpacked-${name}`), path.join(blobs, name)], {
      reject: false,
    });
    if (listed.failed) continue;
    const inside = await execa('grep', ['-rlaF', ...patterns, path.join(directory, `unpacked-${name}`)], {
      reject: false,
    });
    inLayers.push(...inside.stdout.split('\n').filter(line => line !== ''));
  }
  return [...found.stdout.split('\n').filter(line => line !== ''), ...inLayers];
}

it('shows logins, tokens and key passwords nowhere: output, log, state, layers', async () => {
  await using rig = await StkRig.open();
  await using fake = await FakeRegistry.start({ auth: { kind: 'bearer', ...LOGIN } });
  await logIn(rig, fake.host);
  const { cosignKey } = makeKey(KEY_PASSWORD);
  await rig.write('cosign.key', cosignKey, 0o600);
  await rig.write('stacker.yaml', onShell({ run: 'env > /environment; cat /proc/*/cmdline > /commands' }));
  const env = { STK_KEY_PASSWORD: KEY_PASSWORD };
  const cache = `docker://${fake.host}/cache`;
  const flags = ['--debug', '--progress', 'json', '--log-file', 'log'];
  const build = await rig.stk([...flags, 'build', '--cache-to', cache, '--sign-key', 'cosign.key'], { env });
  const publish = await rig.stk([...flags, 'publish', `docker://${fake.host}/x`, '--sign-key', 'cosign.key'], { env });
  expect([build.exitCode, publish.exitCode, build.stderr.includes(KEY_PASSWORD)]).toEqual([0, 0, false]);
  await rig.write('home/.config/containers/auth.json', { auths: { [fake.host]: { auth: 'd3Jvbmc6b25l' } } }, 0o600);
  const refused = await rig.stk([...flags, 'publish', `docker://${fake.host}/x`]);
  expect(refused).toMatchObject({ exitCode: 5 });
  const tokens = fake.requests.flatMap(({ headers }) => /^Bearer (.+)/.exec(headers.authorization ?? '')?.[1] ?? []);
  expect(tokens.length).toBeGreaterThan(0);
  const secrets = [LOGIN.password, BASIC, KEY_PASSWORD, 'd3Jvbmc6b25l', 'wrong:one', ...new Set(tokens)];
  for (const { stdout, stderr } of [build, publish, refused]) {
    for (const secret of secrets) expect(stdout + stderr).not.toContain(secret);
  }
  await rig.write('home/.config/containers/auth.json', {}, 0o600);
  expect(await holding(rig.directory, secrets)).toEqual([]);
});

it('gives no secret to a process on its command line', async () => {
  await using rig = await StkRig.open();
  await using fake = await FakeRegistry.start({ auth: { kind: 'bearer', ...LOGIN } });
  await buildSample(rig);
  await logIn(rig, fake.host);
  fake.failNext({ match: /^PUT .*\/manifests\//, with: { kind: 'hang' } });
  const env = { STK_KEY_PASSWORD: KEY_PASSWORD };
  const running = await rig.start(['--progress', 'plain', 'publish', 'app', `docker://${fake.host}/x:1`], { env });
  await expect.poll(() => fake.count(/^PUT .*\/manifests\//), { timeout: 30_000 }).toBe(1);
  const lines = await commandLines();
  expect(lines).toContain(`docker://${fake.host}/x:1`);
  for (const secret of [LOGIN.password, BASIC, KEY_PASSWORD]) expect(lines).not.toContain(secret);
  running.kill('SIGTERM');
  const { stderr } = await running.done;
  for (const secret of [LOGIN.password, BASIC, KEY_PASSWORD]) expect(stderr).not.toContain(secret);
});

it.each([
  ['a reference', `docker://ci:${LOGIN.password}@127.0.0.1:1/x:1`, {}],
  [
    'the address of a proxy',
    'docker://registry.example/x:1',
    { https_proxy: `http://ci:${LOGIN.password}@127.0.0.1:1` },
  ],
])('does not repeat a password that stands in %s', async (_name, reference, env) => {
  await using rig = await StkRig.open();
  await buildSample(rig);
  for (const debug of [[], ['--debug'], ['--progress', 'json']]) {
    const result = await rig.stk([...debug, 'publish', 'app', reference], { env });
    expect(result.exitCode).not.toBe(0);
    expect(result.stderr).not.toContain(LOGIN.password);
  }
});
