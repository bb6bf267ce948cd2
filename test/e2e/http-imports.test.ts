import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay');

const [USER, PASSWORD, TOKEN] = ['ci', 'pass-of-import', 'token-of-import'];
const BASIC = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');

/** Gives files to whoever logs in or shows the token. */
async function startServer(): Promise<{ server: Server; host: string }> {
  const server = createServer((request, response) => {
    const isKnown = request.headers.authorization === `Basic ${BASIC}` || request.url?.includes(TOKEN);
    if (isKnown) response.end(`what is at ${request.url?.split('?')[0]}`);
    else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return { server, host: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function stop(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

it('logs in for imports, tells nobody how, and makes do with its copy where the server is gone', async () => {
  await using rig = await StkRig.open();
  const { server, host } = await startServer();
  try {
    const recipe = (...urls: string[]) => ({
      app: { from: 'scratch', imports: urls.map((path, index) => ({ path, dest: `/f${index}` })) },
    });
    const auth = (key: string) => rig.write('auth.json', { auths: { [key]: { auth: BASIC } } });
    const env = { REGISTRY_AUTH_FILE: rig.path('auth.json') };
    await rig.write('stacker.yaml', recipe(`http://${host}/path/to/file`));
    for (const key of [`${host}/path/to/file`, `${host}/path`, host]) {
      await auth(key);
      await rig.ok(['build', '--no-cache'], { env });
    }
    for (const key of [`${host}/pat`, `${host}/path/to/file/x`]) {
      await auth(key);
      const { exitCode, stderr } = await rig.stk(['build', '--no-cache', '--stk-dir', '.other'], { env });
      expect([exitCode, stderr]).toEqual([5, expect.stringContaining(`stk login ${host}/path/to/file`)]);
    }

    const text = JSON.stringify(recipe(`http://${USER}:${PASSWORD}@${host}/a`, `http://${host}/b?token=${TOKEN}&v=1`));
    await rig.write('stacker.yaml', text);
    const flags = ['--progress', 'plain', '--debug', '--log-file', 'log'];
    const { exitCode, stderr } = await rig.stk(['build', ...flags]);
    expect([exitCode, stderr.match(/a URL holds a password/g)?.length]).toEqual([0, 2]);
    await stop(server);
    const stale = await rig.stk(['build', '--no-cache', ...flags]);
    expect([stale.exitCode, stale.stderr]).toEqual([
      0,
      expect.stringContaining('the copy of an earlier build is used'),
    ]);
    const output = `${stderr}${stale.stderr}${await readFile(rig.path('log'), 'utf8')}`;
    for (const secret of [PASSWORD, TOKEN, BASIC]) {
      expect(output).not.toContain(secret);
      const found = await execa('grep', ['-rlaF', secret, 'oci', '.stk'], { cwd: rig.directory, reject: false });
      expect(found.stdout).toBe('');
    }
    const { annotations } = JSON.parse(await rig.ok(['inspect', 'app', '--json'])) as {
      annotations: Record<string, string>;
    };
    const published = text.replace(`${USER}:${PASSWORD}@`, '***@').replace(`${TOKEN}&v=1`, '***&v=***');
    expect(annotations['io.stackeroci.stacker.stacker_yaml']).toBe(published);
  } finally {
    await stop(server);
  }
});
