import { createServer, connect, type AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../test/rig/docker-registry.ts';
import { report, shell, sideBySide } from './rig.ts';

/**
 * Pushing an image of 539 MB to a registry of the loopback and pulling it, beside skopeo: all of it, nothing, and after one
 * of its layers changed, with the bytes that went over the wire. Run: `npm run bench push-pull`.
 */
const LAYERS = 7;
const LAYER_MB = 77;

const stk = `node ${path.resolve('dist/stk.js')}`;
const home = await mkdtemp(path.join(os.tmpdir(), 'stk-bench-'));
const registry = await DockerRegistry.start();
const inHome = { cwd: home };

/** Random bytes, so that their size on the wire is the one that is written here. */
async function makeImage(tag: string, changed: number): Promise<void> {
  const script = `
    layer() { head -c $(($2 * 1000000)) /dev/urandom | openssl enc -aes-128-ctr -nosalt -k "$1" > content
      tar --sort=name --mtime=@0 --owner=0 --group=0 -cf layer.tar content
      diff=$(sha256sum < layer.tar | cut -d' ' -f1); gzip -1 < layer.tar > layer.gz
      digest=$(sha256sum < layer.gz | cut -d' ' -f1); size=$(stat -c %s layer.gz)
      mv layer.gz oci/blobs/sha256/$digest; echo "$digest $size $diff" > $1.layer; }
    mkdir -p oci/blobs/sha256
    for n in $(seq ${LAYERS}); do [ -e $n.layer ] && [ $n != ${changed} ] || layer $n ${LAYER_MB}; done
    cat $(seq -f %g.layer ${LAYERS}) > layers; rm -f content layer.tar`;
  await shell(script, inHome);
  const program = `
    const fs = require('fs'), crypto = require('crypto');
    const put = (mediaType, value) => { const text = JSON.stringify(value);
      const hex = crypto.createHash('sha256').update(text).digest('hex');
      fs.writeFileSync('oci/blobs/sha256/' + hex, text); return { mediaType, digest: 'sha256:' + hex, size: text.length }; };
    const rows = fs.readFileSync('layers', 'utf8').trim().split('\\n').map(row => row.split(' '));
    const type = 'application/vnd.oci.image.';
    const layers = rows.map(([hex, size]) => ({ mediaType: type + 'layer.v1.tar+gzip', digest: 'sha256:' + hex, size: +size }));
    const diffs = rows.map(row => 'sha256:' + row[2]);
    const config = put(type + 'config.v1+json', { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffs } });
    const manifest = put(type + 'manifest.v1+json', { schemaVersion: 2, mediaType: type + 'manifest.v1+json', config, layers });
    const old = fs.existsSync('oci/index.json') ? JSON.parse(fs.readFileSync('oci/index.json')).manifests : [];
    const name = { annotations: { 'org.opencontainers.image.ref.name': '${tag}' } };
    fs.writeFileSync('oci/oci-layout', '{"imageLayoutVersion":"1.0.0"}');
    fs.writeFileSync('oci/index.json', JSON.stringify({ schemaVersion: 2, manifests: [...old, { ...manifest, ...name }] }));`;
  await writeFile(path.join(home, 'describe.cjs'), program);
  await shell('node describe.cjs', inHome);
}

/** Hands connections on to the registry and counts what goes to it. */
async function countingProxy(): Promise<{ readonly host: string; readonly take: () => number; close(): void }> {
  let sentBytes = 0;
  const [host = '', port = ''] = registry.host.split(':');
  const server = createServer(client => {
    const upstream = connect(Number(port), host);
    client.on('data', chunk => (sentBytes += chunk.byteLength));
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const take = () => [sentBytes, (sentBytes = 0)][0]!;
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, take, close: () => void server.close() };
}

try {
  await makeImage('v1', 0);
  let round = 0;
  const place = (name: string, tag = '1', host = registry.host) => `docker://${host}/$(cat round)/${name}:${tag}`;
  const fresh = async () => {
    await writeFile(path.join(home, 'round'), `r${++round}`);
    // A registry has blobs of other repositories at hand, so each round begins with an empty one.
    await shell(`rm -rf ${registry.directory}/data`);
  };
  const skopeo = 'skopeo copy --dest-tls-verify=false --src-tls-verify=false';
  const push = [
    { name: 'skopeo copy', script: `${skopeo} oci:oci:v1 ${place('x')}`, prepare: fresh, ...inHome },
    { name: 'stk publish', script: `${stk} publish oci:oci:v1 ${place('x')}`, prepare: fresh, ...inHome },
  ];
  report('push 539 MB', await sideBySide(push, 3));
  const unchanged = [
    { name: 'skopeo copy', script: `${skopeo} oci:oci:v1 ${place('x')}`, ...inHome },
    { name: 'stk publish', script: `${stk} publish oci:oci:v1 ${place('x')}`, ...inHome },
  ];
  report('push what is there', await sideBySide(unchanged, 3));
  const empty = () => shell('rm -rf pulled; sync', inHome);
  const pull = [
    { name: 'skopeo copy', script: `${skopeo} ${place('x')} oci:pulled:v1`, prepare: empty, ...inHome },
    { name: 'skopeo copy, and sync', script: `${skopeo} ${place('x')} oci:pulled:v1; sync`, prepare: empty, ...inHome },
    { name: 'stk publish', script: `${stk} publish ${place('x')} oci:pulled:v1`, prepare: empty, ...inHome },
  ];
  report('pull 539 MB', await sideBySide(pull, 3));

  await makeImage('v2', 3);
  const proxy = await countingProxy();
  const second = async () => {
    await fresh();
    await shell(`${stk} publish oci:oci:v1 ${place('x', '1', proxy.host)}`, inHome);
    proxy.take();
  };
  const sent: Record<string, number[]> = {};
  for (const [name, command] of [
    ['skopeo copy', skopeo],
    ['stk publish', `${stk} publish`],
  ] as const) {
    await second();
    const measured = { name, script: `${command} oci:oci:v2 ${place('x', '2', proxy.host)}`, ...inHome };
    report(`push one changed layer of ${LAYERS}`, await sideBySide([measured], 1));
    (sent[name] ??= []).push(proxy.take());
  }
  proxy.close();
  for (const [name, [bytes = 0]] of Object.entries(sent)) {
    const over = bytes - LAYER_MB * 1e6;
    process.stdout.write(`${name} sent ${bytes} bytes: ${over} more than the content of the layer\n`);
  }
} finally {
  await registry[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
}
