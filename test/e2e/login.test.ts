import { readFile, stat } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { buildSample, inspect } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'registry', 'tool:skopeo');

const LOGIN = { username: 'ci', password: 'pa:ss wörd' };

it('keeps a password that the registry takes, where skopeo finds it, and forgets it', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry({ login: LOGIN });
  await buildSample(rig);
  const target = `docker://${registry.host}/app:v1`;
  const refused = await rig.stk(['publish', 'app', target]);
  expect(refused).toMatchObject({ exitCode: 5 });
  expect(refused.stderr).toContain('stk login');

  const login = ['login', registry.host, '--username', LOGIN.username, '--password-stdin'];
  const wrong = await rig.stk(login, { stdin: 'wrong-secret\n' });
  expect(wrong).toMatchObject({ exitCode: 5 });
  expect(wrong.stderr).not.toContain('wrong-secret');
  expect(await rig.ok(login, { stdin: `${LOGIN.password}\n` })).toContain(`logged in to ${registry.host}`);
  const file = rig.path('home/.config/containers/auth.json');
  expect((await stat(file)).mode & 0o777).toBe(0o600);

  const published = await rig.stk(['publish', 'app', target, '--debug', '--progress', 'json']);
  expect(published).toMatchObject({ exitCode: 0 });
  const basic = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64');
  for (const secret of [LOGIN.password, basic]) expect(published.stderr + published.stdout).not.toContain(secret);
  expect(await inspect(target, ['--tls-verify=false', '--authfile', file])).toHaveProperty('Digest');

  expect(await rig.ok(['logout', registry.host])).toContain('logged out');
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ auths: {} });
  expect(await rig.stk(['logout', registry.host])).toMatchObject({ exitCode: 8 });
});

it('refuses a login in the address, and does not show it', async () => {
  await using rig = await StkRig.open();
  for (const host of ['me:hunter/2@h.example', 'https://me:hunter@2@h.example/x', 'me:hunter2@h.example']) {
    for (const command of ['login', 'logout']) {
      const { exitCode, stdout, stderr } = await rig.stk([command, host]);
      expect([exitCode, (stdout + stderr).includes('hunter')]).toEqual([2, false]);
    }
  }
});

it('finds certificates of an authority by host, and says what is missing without them', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry({ tls: true });
  await buildSample(rig);
  const target = `docker://${registry.host}/app:v1`;
  expect(await rig.stk(['publish', 'app', target])).toMatchObject({ exitCode: 5 });
  await rig.ok(['publish', 'app', target, '--tls-verify=false']);
  await rig.write(`home/.config/containers/certs.d/${registry.host}/ca.crt`, registry.ca!);
  await rig.ok(['publish', 'app', target]);
});

it('reads from a mirror that registries.conf names, and from the registry where the mirror has nothing', async () => {
  await using rig = await StkRig.open();
  await using mirror = await rig.registry();
  await using registry = await rig.registry();
  await buildSample(rig);
  await rig.ok(['publish', 'app', `docker://${mirror.host}/copies/app:v1`]);
  await rig.ok(['publish', 'tool', `docker://${registry.host}/team/tool:v1`]);
  const rules = [
    '[[registry]]',
    `prefix = "registry.invalid/team"`,
    `location = "${registry.host}/team"`,
    '[[registry.mirror]]',
    `location = "${mirror.host}/copies"`,
    '[[registry]]',
    'prefix = "blocked.invalid"',
    'blocked = true',
  ];
  await rig.write('home/.config/containers/registries.conf', `${rules.join('\n')}\n`);
  for (const name of ['app', 'tool']) {
    await rig.ok(['publish', `docker://registry.invalid/team/${name}:v1`, `oci:copy:${name}`]);
  }
  const { stdout } = await execa('umoci', ['ls', '--layout', rig.path('copy')]);
  expect(stdout.split('\n').toSorted()).toEqual(['app', 'tool']);
  const blocked = await rig.stk(['publish', 'docker://blocked.invalid/x:1', 'oci:copy:x']);
  expect(blocked).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('blocks blocked.invalid') as string });
  await rig.write('home/.config/containers/registries.conf', '[[registry]]\nlocation = 7\n');
  expect(await rig.stk(['publish', 'docker://x.invalid/x:1', 'oci:copy:x'])).toMatchObject({ exitCode: 9 });
});
