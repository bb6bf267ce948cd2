import { spawn, execFileSync, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface DockerRegistryOptions {
  readonly login?: { readonly username: string; readonly password: string };
  /** Serve https with a certificate of a fresh authority. */
  readonly tls?: boolean;
}

/** Debian's `docker-registry` on a free port of the loopback, its data in a temporary directory. */
export class DockerRegistry implements AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** PEM of the authority, with `tls`. */
  readonly ca: string | undefined;
  readonly directory: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;

  private constructor(host: string, directory: string, ca: string | undefined, child: ChildProcess) {
    this.host = host;
    this.directory = directory;
    this.ca = ca;
    this.#process = child;
    this.#exited = new Promise(resolve => child.once('exit', () => resolve()));
  }

  static async start(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    const directory = await mkdtemp(path.join(tmpdir(), 'stk-registry-'));
    const port = await freePort();
    const tls = options.tls === true ? await makeCertificate(directory) : undefined;
    const login = options.login && (await makeLogin(directory, options.login));
    const config = [
      'version: 0.1',
      'log: { level: info, accesslog: { disabled: true } }',
      `storage: { filesystem: { rootdirectory: ${directory}/data }, delete: { enabled: true } }`,
      `http: { addr: "127.0.0.1:${port}"${tls ? `, tls: { certificate: ${tls.certificate}, key: ${tls.key} }` : ''} }`,
      ...(login === undefined ? [] : [`auth: { htpasswd: { realm: rig, path: ${login} } }`]),
    ];
    const configFile = path.join(directory, 'config.yml');
    await writeFile(configFile, `${config.join('\n')}\n`);
    const child = spawn('docker-registry', ['serve', configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
    const registry = new DockerRegistry(`127.0.0.1:${port}`, directory, tls?.ca, child);
    try {
      await listening(child);
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
    return registry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGKILL');
      await this.#exited;
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Waits for the line with which the registry says that it listens. */
function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      if (log.length < 100_000) log += chunk.toString('utf8');
      if (log.includes('listening on')) resolve();
    });
    child.once('error', reject);
    child.once('exit', status => reject(new Error(`docker-registry ended with ${status}: ${log}`)));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>(resolve => server.close(() => resolve()));
  return port;
}

async function makeLogin(directory: string, login: { username: string; password: string }): Promise<string> {
  const file = path.join(directory, 'htpasswd');
  const hash = bcrypt(login.password);
  await writeFile(file, `${login.username}:${hash}\n`);
  return file;
}

/** The registry takes bcrypt only. */
function bcrypt(password: string): string {
  const script = 'use strict; print crypt($ARGV[0], q($2b$05$abcdefghijklmnopqrstuu));';
  return execFileSync('perl', ['-e', script, password], { encoding: 'utf8' });
}

async function makeCertificate(directory: string): Promise<{ ca: string; certificate: string; key: string }> {
  const file = (name: string) => path.join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=rig authority',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
  );
  openssl('req', ...newKey, '-subj', '/CN=127.0.0.1', '-keyout', file('key.pem'), '-out', file('request.pem'));
  await writeFile(file('extensions'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const sign = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2'];
  openssl(
    'x509',
    '-req',
    '-in',
    file('request.pem'),
    ...sign,
    '-extfile',
    file('extensions'),
    '-out',
    file('cert.pem'),
  );
  return { ca: await readFile(file('ca.pem'), 'utf8'), certificate: file('cert.pem'), key: file('key.pem') };
}
