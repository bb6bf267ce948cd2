import type { KeyObject } from 'node:crypto';
import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { say, silent, type Emit } from '../../../core/events.ts';
import { absPath } from '../../../core/paths.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { formatImageName, type ImageName } from '../../../oci/image-name.ts';
import { readImageGraph } from '../../../oci/image-graph.ts';
import { signImage } from '../../../signing/sign-image.ts';
import { keyFingerprint, parseSigningKey } from '../../../signing/signing-key.ts';
import type { Session } from '../../session.ts';
import { promptLine } from './login-prompt.ts';
import { imageReference } from '../../../stores/find-image.ts';
import { imageName } from '../images/image-names.ts';

export interface SignFlags {
  readonly key: string;
  readonly identity?: string;
  readonly recursive?: boolean;
  readonly tlsVerify: boolean;
}

/** Signs what other commands have made. */
export interface Signer {
  sign(store: BlobStore, subject: Descriptor, target: ImageName, emit?: Emit): Promise<void>;
}

/** `stk sign REF --key K`: prints each digest that now has a signature. */
export async function runSign(session: Session, ref: string, flags: SignFlags): Promise<number> {
  const scope = new AsyncScope();
  try {
    const key = await openKey(session, flags.key);
    const name = imageName(ref);
    const opened = await session.stores.openForChange(name, flags, scope);
    const { store } = opened;
    const reference = imageReference(opened);
    const call = { signal: session.signal };
    const documents = flags.recursive
      ? (await readImageGraph(store, reference, call)).documents
      : [await store.readManifest(reference, call)];
    const identity = flags.identity ?? identityOf(name);
    for (const { descriptor } of documents) {
      await signImage(store, descriptor, { key, identity, ...call });
      session.stdout.write(`${descriptor.digest} signed as ${identity}\n`);
    }
  } finally {
    await scope[Symbol.asyncDispose]();
  }
  return 0;
}

/** Reads the key once, asking for its password where it has one, before any work is done. */
export async function openSigner(session: Session, keyFile: string): Promise<Signer> {
  const key = await openKey(session, keyFile);
  return {
    async sign(store, subject, target, emit = silent) {
      await signImage(store, subject, { key, identity: identityOf(target), signal: session.signal });
      say(emit, 'info', `signed ${subject.digest.slice(0, 19)} with key ${keyFingerprint(key).slice(0, 12)}`);
    },
  };
}

/** A private key, its password asked for where it has one. Throws `not-found` and as `parseSigningKey` does. */
export async function openKey(session: Session, name: string): Promise<KeyObject> {
  const file = absPath(name, session.workingDirectory);
  const pem = await session.given.read(file).catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read key ${file}`, { cause, facts: { path: file } });
  });
  const { STK_KEY_PASSWORD, COSIGN_PASSWORD } = session.environment;
  return parseSigningKey(pem.toString('utf8'), async () => {
    const given = STK_KEY_PASSWORD ?? COSIGN_PASSWORD;
    if (given !== undefined) return given;
    const question = `Password of ${name}`;
    return promptLine({ input: process.stdin, output: session.stderr, question, hidden: true, signal: session.signal });
  });
}

/** As cosign has it: the repository in a registry. An image in a layout is called by its tag. */
function identityOf(name: ImageName): string {
  if (name.kind === 'docker') return `${name.host}/${name.repository}`;
  return name.tag ?? formatImageName(name);
}
