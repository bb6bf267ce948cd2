import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, scryptSync } from 'node:crypto';
import { execa } from 'execa';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import type { StkRig } from './stk-rig.ts';

/** Builds two images over one base, and one that is build_only; nothing of it runs a command. */
export async function buildSample(rig: StkRig, flags: readonly string[] = []): Promise<void> {
  await rig.write('root/etc/base', 'base\n');
  await rig.write('root/data', randomBytes(300_000));
  await execa('tar', ['-C', rig.path('root'), '-cf', rig.path('base.tar'), '.']);
  await rig.write('file', 'of app\n');
  await rig.write('stacker.yaml', {
    base: { from: { type: 'tar', url: 'base.tar' }, build_only: true },
    app: {
      from: { type: 'built', tag: 'base' },
      imports: [{ path: 'file', dest: '/etc/' }],
      cmd: ['/bin/app'],
      labels: { kind: 'sample' },
    },
    tool: { from: { type: 'built', tag: 'base' }, entrypoint: '/bin/tool' },
  });
  await rig.ok(['build', ...flags]);
}

export async function inspect(reference: string, flags: readonly string[] = []): Promise<Record<string, unknown>> {
  const { stdout } = await execa('skopeo', ['inspect', ...flags, reference]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

export async function rawManifest(reference: string, flags: readonly string[] = []): Promise<string> {
  return (await execa('skopeo', ['inspect', '--raw', ...flags, reference])).stdout;
}

export interface SampleKey {
  /** PKCS #8 PEM. */
  readonly privateKey: string;
  /** The same key, encrypted as cosign does. */
  readonly cosignKey: string;
  readonly publicKey: string;
}

/** A key pair on P-256; making the encrypted form takes a moment, so it is cheaper than cosign's own parameters. */
export function makeKey(password: string): SampleKey {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const key = createPrivateKey(privateKey);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string;
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const [salt, nonce] = [randomBytes(32), randomBytes(24)];
  const params = { N: 32768, r: 8, p: 1 };
  const boxKey = scryptSync(password, salt, 32, { ...params, maxmem: 64 * 1024 * 1024 });
  const ciphertext = xsalsa20poly1305(new Uint8Array(boxKey), new Uint8Array(nonce)).encrypt(new Uint8Array(der));
  const envelope = {
    kdf: { name: 'scrypt', params, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: nonce.toString('base64') },
    ciphertext: Buffer.from(ciphertext).toString('base64'),
  };
  const body = Buffer.from(JSON.stringify(envelope)).toString('base64').replace(/.{64}/g, '$&\n');
  const label = 'ENCRYPTED COSIGN PRIVATE KEY';
  return { privateKey, publicKey, cosignKey: `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n` };
}
