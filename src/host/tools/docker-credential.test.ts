import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { setToolPath } from '../tool-path.ts';
import { askDockerCredentialHelper } from './docker-credential.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'stk-helper-'));
  setToolPath(directory);
});
afterAll(async () => {
  setToolPath(undefined);
  await rm(directory, { recursive: true });
});

async function ask(script: string): ReturnType<typeof askDockerCredentialHelper> {
  const file = path.join(directory, 'docker-credential-test');
  await writeFile(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return askDockerCredentialHelper('test', 'h.example', { env: { PATH: `${directory}:/usr/bin:/bin` } });
}

it('hands the server to the helper and reads its answer', async () => {
  const answer = await ask('test "$1" = get && printf \'{"ServerURL":"x","Username":"u","Secret":"%s"}\' "$(cat)"');
  expect(answer).toEqual({ username: 'u', secret: 'h.example' });
});

it('takes the protocol\'s "not found" for nothing', async () => {
  expect(await ask('echo "credentials not found in native keychain"; exit 1')).toBeUndefined();
});

it.each(['echo secret-word; exit 1', 'echo secret-word', 'echo secret-word; exit 2', 'echo \'{"Username":7}\''])(
  'is tool-failed, showing nothing that was printed, for %s',
  async script => {
    const failure = await ask(script).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'tool-failed' });
    expect(JSON.stringify(failure) + String(failure)).not.toContain('secret-word');
  },
);

it('is missing-capability for a helper that is not installed', async () => {
  const asked = askDockerCredentialHelper('nowhere-to-be-found', 'h.example');
  await expect(asked).rejects.toMatchObject({ code: 'missing-capability' });
});
