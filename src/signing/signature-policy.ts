import type { KeyObject } from 'node:crypto';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { formatImageName, type StoredName } from '../oci/image-name.ts';
import { parseVerifyKey } from './signing-key.ts';
import { isRepositoryIdentity, verifySignature, type VerifiedSignature } from './verify-signature.ts';

/** How the name in a signature and the name that was asked for go together (containers-policy.json(5), "signedIdentity"). */
export type IdentityRule =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

export type PolicyRequirement =
  | { readonly type: 'insecureAcceptAnything' }
  | { readonly type: 'reject' }
  | { readonly type: 'sigstoreSigned'; readonly keys: readonly KeyObject[]; readonly identity: IdentityRule };

/** A policy of containers-policy.json(5): requirements by transport and scope. All of a scope must be met. */
export interface SignaturePolicy {
  readonly default: readonly PolicyRequirement[];
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, readonly PolicyRequirement[]>>;
}

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Parses a policy file. Whatever is not understood is an error (`unsupported` for other kinds of signatures,
 * `invalid-input` else): a requirement that was skipped would let images pass.
 * @param readKey reads the files that `keyPath` names
 */
export async function parsePolicy(
  text: string,
  name: string,
  readKey: (path: string) => Promise<string>,
): Promise<SignaturePolicy> {
  const document = parseJson(text, name);
  const known = ['default', 'transports'];
  const unknown = Object.keys(document).find(key => !known.includes(key));
  if (unknown !== undefined) throw bad(name, `has an unknown member: ${unknown}`);
  const requirements = async (value: unknown): Promise<readonly PolicyRequirement[]> => {
    if (!Array.isArray(value) || value.length === 0) throw bad(name, 'has an empty list of requirements');
    return Promise.all(value.map(entry => parseRequirement(asObject(entry, name), name, readKey)));
  };
  const transports = new Map<string, ReadonlyMap<string, readonly PolicyRequirement[]>>();
  for (const [transport, scopes] of Object.entries(asObject(document['transports'] ?? {}, name))) {
    const parsed = new Map<string, readonly PolicyRequirement[]>();
    // Requirements of other transports may be of kinds that stk does not know, and do not concern it.
    if (transport !== 'docker' && transport !== 'oci') continue;
    for (const [scope, value] of Object.entries(asObject(scopes, name))) parsed.set(scope, await requirements(value));
    transports.set(transport, parsed);
  }
  return { default: await requirements(document['default']), transports };
}

/** The requirements of the most specific scope that an image lies in. */
function requirementsFor(policy: SignaturePolicy, reference: StoredName): readonly PolicyRequirement[] {
  const scopes = policy.transports.get(reference.kind);
  for (const scope of scopesOf(reference)) {
    const found = scopes?.get(scope);
    if (found) return found;
  }
  return policy.default;
}

/** An image that a policy decides on: where it lies, and the name that somebody asked for. */
export interface PolicySubject {
  readonly store: BlobStore;
  readonly digest: Digest;
  readonly reference: StoredName;
}

/**
 * Throws `integrity` unless the image meets every requirement that the policy has for it. Returns the signatures that were
 * demanded and found.
 */
export async function checkPolicy(
  image: PolicySubject,
  policy: SignaturePolicy,
  signal?: AbortSignal,
): Promise<readonly VerifiedSignature[]> {
  const { store, digest, reference } = image;
  const signatures: VerifiedSignature[] = [];
  for (const requirement of requirementsFor(policy, reference)) {
    if (requirement.type !== 'sigstoreSigned') {
      if (requirement.type === 'insecureAcceptAnything') continue;
      throw new StkError('integrity', `the policy rejects ${formatImageName(reference)}`, { facts: { digest } });
    }
    const { keys, identity } = requirement;
    const acceptsIdentity = (signed: string) => acceptsSigned(identity, signed, reference);
    signatures.push(...(await verifySignature(store, digest, { keys, acceptsIdentity, all: true, signal })));
  }
  return signatures;
}

/** From the image itself to everything of its transport. */
function scopesOf(reference: StoredName): readonly string[] {
  if (reference.kind === 'oci') {
    const { directory, tag } = reference;
    const parts = directory.split('/');
    const above = parts.map((_, index) => parts.slice(0, parts.length - index).join('/')).filter(part => part !== '');
    return [...(tag === undefined ? [] : [`${directory}:${tag}`]), ...above, ''];
  }
  const { host, repository, tag, digest } = reference;
  const name = `${host}/${repository}`;
  const parts = name.split('/');
  const paths = parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
  const labels = host.replace(/:\d+$/, '').split('.');
  const domains = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`);
  const exact = digest !== undefined ? [`${name}@${digest}`] : [`${name}:${tag ?? 'latest'}`];
  return [...exact, ...paths, ...domains, ''];
}

function acceptsSigned(rule: IdentityRule, signed: string, reference: StoredName): boolean {
  switch (rule.type) {
    case 'exactReference':
      return signed === rule.dockerReference;
    case 'exactRepository':
      return isRepositoryIdentity(signed, rule.dockerRepository);
    case 'remapIdentity':
    case 'matchRepository':
    case 'matchExact':
    case 'matchRepoDigestOrExact':
      break;
  }
  if (reference.kind === 'oci') return signed === reference.tag;
  let repository = `${reference.host}/${reference.repository}`;
  if (rule.type === 'remapIdentity') {
    const isBelow = repository === rule.prefix || repository.startsWith(`${rule.prefix}/`);
    if (isBelow) repository = rule.signedPrefix + repository.slice(rule.prefix.length);
  }
  const anyTag = rule.type === 'matchRepository' || (rule.type !== 'matchExact' && reference.digest !== undefined);
  if (anyTag) return isRepositoryIdentity(signed, repository);
  // Whoever names a digest names no tag, and `latest` stands for a missing tag alone.
  const { tag, digest } = reference;
  return signed === `${repository}${digest === undefined ? `:${tag ?? 'latest'}` : `@${digest}`}`;
}

async function parseRequirement(
  object: JsonObject,
  name: string,
  readKey: (path: string) => Promise<string>,
): Promise<PolicyRequirement> {
  const { type } = object;
  if (type === 'insecureAcceptAnything' || type === 'reject') return { type };
  if (type !== 'sigstoreSigned') {
    throw new StkError('unsupported', `${name} demands ${String(type).slice(0, 60)}`, {
      hint: 'stk verifies sigstoreSigned requirements with keys',
    });
  }
  const known = ['type', 'keyPath', 'keyPaths', 'keyData', 'keyDatas', 'signedIdentity'];
  const unknown = Object.keys(object).find(key => !known.includes(key));
  if (unknown !== undefined) {
    throw new StkError('unsupported', `${name} demands ${unknown}, which stk cannot check`, {
      hint: 'stk verifies signatures with keys: keyPath or keyData',
    });
  }
  const paths = texts([object['keyPath'] ?? [], object['keyPaths'] ?? []].flat(), name);
  const datas = texts([object['keyData'] ?? [], object['keyDatas'] ?? []].flat(), name);
  const pems = [
    ...(await Promise.all(paths.map(readKey))),
    ...datas.map(data => Buffer.from(data, 'base64').toString('utf8')),
  ];
  if (pems.length === 0) throw bad(name, 'has a sigstoreSigned requirement without a key');
  const identity = parseIdentity(object['signedIdentity'], name);
  return { type, keys: pems.map(parseVerifyKey), identity };
}

function parseIdentity(value: unknown, name: string): IdentityRule {
  if (value === undefined) return { type: 'matchRepoDigestOrExact' };
  const object = asObject(value, name);
  const text = (key: string) => texts([object[key]], name)[0]!;
  switch (object['type']) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
      return { type: object['type'] };
    case 'exactReference':
      return { type: 'exactReference', dockerReference: text('dockerReference') };
    case 'exactRepository':
      return { type: 'exactRepository', dockerRepository: text('dockerRepository') };
    case 'remapIdentity':
      return { type: 'remapIdentity', prefix: text('prefix'), signedPrefix: text('signedPrefix') };
    default:
      throw bad(name, 'has an unknown signedIdentity');
  }
}

function texts(values: readonly unknown[], name: string): readonly string[] {
  if (values.every(value => typeof value === 'string')) return values;
  throw bad(name, 'has a value that is no string');
}

function asObject(value: unknown, name: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw bad(name, 'has a value that is no object');
}

function parseJson(text: string, name: string): JsonObject {
  try {
    return asObject(JSON.parse(text), name);
  } catch (cause) {
    if (cause instanceof StkError) throw cause;
    throw new StkError('invalid-input', `policy ${name} is not JSON`, { cause });
  }
}

function bad(name: string, problem: string): StkError {
  return new StkError('invalid-input', `policy ${name} ${problem}`, {
    hint: 'the format is described in containers-policy.json(5)',
    facts: { path: name },
  });
}
