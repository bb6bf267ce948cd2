import type { AsyncScope } from '../core/async-scope.ts';
import { joinInside } from '../core/paths.ts';
import { Remembered } from '../core/remembered.ts';
import { readExtraRoots } from '../host/extra-roots.ts';
import type { TlsSettings } from '../host/http-agents.ts';
import { HttpClient } from '../host/http.ts';
import { askDockerCredentialHelper } from '../host/tools/docker-credential.ts';
import type { RegistryHost, RegistryReference, RepositoryName } from '../oci/reference.ts';
import { BlobPlaces } from '../registry/blob-places.ts';
import { certificateDirectories, loadCertificates } from '../registry/certificates.ts';
import { findCredentials, type CredentialEnvironment, type Credentials } from '../registry/credentials.ts';
import { listRepositories } from '../registry/listing.ts';
import { MirroredStore, type Mirror } from '../registry/mirrored-store.ts';
import { matchRule, pullEndpoints, readRegistryRules } from '../registry/registries-conf.ts';
import type { Endpoint, RegistryRule } from '../registry/registries-conf.ts';
import { RegistryStore } from '../registry/registry-store.ts';
import { RegistrySession } from '../registry/session.ts';
import { httpLogin, type HttpLogin } from './http-login.ts';
import { userCacheDirectory } from './user-cache.ts';

/** What registries are opened with; everything of the outside world that matters for them. */
export interface RegistryPorts {
  /** Of the user: proxies, credentials, certificates. Helpers that keep keychains get all of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly userAgent: string;
  /** Owns connections; what was learned about blobs is kept at its end. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
  /** Hears why a mirror was passed over. */
  readonly onMirrorPassed: (text: string) => void;
  /** Hears of servers that fall silent. */
  readonly onQuiet?: (text: string) => void;
  /** How long a transfer goes on that gets nowhere; default 2 minutes. */
  readonly patienceMs?: number | undefined;
}

type Place = Pick<Endpoint, 'host' | 'repository'>;

/**
 * The registries of a process: one HTTP client, and what is known of each host, asked for once. Opening one does not talk to
 * it. Nothing is to be opened after the scope has ended.
 */
export class Registries {
  readonly #ports: RegistryPorts;
  readonly #places = new Remembered<RegistryHost, BlobPlaces>();
  readonly #certificates = new Remembered<RegistryHost, TlsSettings | undefined>();
  readonly #logins = new Map<RegistryHost, Credentials>();
  #client: HttpClient | undefined;
  #rules: Promise<readonly RegistryRule[]> | undefined;

  constructor(ports: RegistryPorts) {
    this.#ports = ports;
  }

  /** The one HTTP client, with the proxies and the certificates to trust that the environment names. */
  get client(): HttpClient {
    if (this.#client) return this.#client;
    const { environment, userAgent, scope, onQuiet = () => {}, patienceMs } = this.#ports;
    const retry = patienceMs === undefined ? {} : { patienceMs };
    const pick = (...names: readonly string[]) => {
      const name = names.flatMap(one => [one, one.toUpperCase()]).find(one => environment[one]?.trim());
      return name === undefined ? undefined : { name, value: environment[name]! };
    };
    const [http, https] = [pick('http_proxy', 'all_proxy'), pick('https_proxy', 'all_proxy')];
    const noProxy = pick('no_proxy')?.value;
    const proxy = {
      ...(http ? { http } : {}),
      ...(https ? { https } : {}),
      ...(noProxy ? { noProxy } : {}),
    };
    const files = [environment['SSL_CERT_FILE'], environment['NODE_EXTRA_CA_CERTS']];
    const extraRoots = () => readExtraRoots({ files, directories: environment['SSL_CERT_DIR'] });
    // Connections that are kept for the next request would keep the process, too.
    this.#client = scope.use(new HttpClient({ userAgent, proxy, extraRoots, onQuiet, retry }));
    return this.#client;
  }

  /**
   * A repository for reading, with the user's credentials, certificates and mirrors. A mirror may be behind: what decides about
   * something to be written is read with `openItself`. Throws `unauthorized` for a registry that the configuration blocks.
   */
  async open(reference: RegistryReference, insecure: boolean): Promise<RegistryStore | MirroredStore> {
    const { rules, primary } = await this.#primary(reference, insecure);
    const endpoints = pullEndpoints(rules, reference);
    const [only] = endpoints;
    const isItself = only?.host === reference.host && only.repository === reference.repository;
    if (endpoints.length === 1 && isItself) return primary;
    const mirrors: Mirror[] = [];
    for (const endpoint of endpoints) {
      const store = await this.#repository(endpoint, insecure || endpoint.insecure);
      mirrors.push({ store, pull: endpoint.pull });
    }
    return new MirroredStore(primary, mirrors, this.#ports.onMirrorPassed);
  }

  /** The repository at the registry that the reference names, whose answers no mirror gives. Throws as `open` does. */
  async openItself(reference: RegistryReference, insecure: boolean): Promise<RegistryStore> {
    const { rules, primary } = await this.#primary(reference, insecure);
    pullEndpoints(rules, reference);
    return primary;
  }

  /** Every repository of a registry, below a path if one is given. Throws `unsupported` where it does not list them. */
  async repositories(
    host: RegistryHost,
    below: string | undefined,
    insecure: boolean,
  ): Promise<readonly RepositoryName[]> {
    const rule = matchRule(await this.#readRules(), { host, repository: below });
    const session = new RegistrySession({
      client: this.client,
      host,
      credentials: await this.#credentials({ host, repository: below as RepositoryName | undefined }),
      tls: await this.certificates(host),
      insecure: insecure || rule?.insecure === true,
    });
    const names = await listRepositories(session, { signal: this.#ports.signal });
    return below === undefined ? names : names.filter(name => name.startsWith(`${below}/`));
  }

  /** One object for each host: connections are pooled by it. */
  certificates(host: RegistryHost): Promise<TlsSettings | undefined> {
    const { HOME: home } = this.#ports.environment;
    return this.#certificates.get(host, () => loadCertificates(host, certificateDirectories(home)));
  }

  /** Uses a login for a registry in place of what is kept for it. */
  logIn(host: RegistryHost, credentials: Credentials): void {
    this.#logins.set(host, credentials);
  }

  /** Where the user's credentials are kept. */
  get credentialEnvironment(): CredentialEnvironment {
    const { environment } = this.#ports;
    return {
      home: environment['HOME'],
      registryAuthFile: environment['REGISTRY_AUTH_FILE'],
      runtimeDir: environment['XDG_RUNTIME_DIR'],
      configHome: environment['XDG_CONFIG_HOME'],
      dockerConfig: environment['DOCKER_CONFIG'],
    };
  }

  /** See `httpLogin`. */
  httpLogin(url: string): Promise<HttpLogin> {
    return httpLogin(url, this.credentialEnvironment);
  }

  #readRules(): Promise<readonly RegistryRule[]> {
    const { HOME: home, CONTAINERS_REGISTRIES_CONF: registriesConf } = this.#ports.environment;
    return (this.#rules ??= readRegistryRules({ home, registriesConf }));
  }

  async #primary(
    reference: RegistryReference,
    insecure: boolean,
  ): Promise<{ readonly rules: readonly RegistryRule[]; readonly primary: RegistryStore }> {
    const rules = await this.#readRules();
    const rule = matchRule(rules, reference);
    return { rules, primary: await this.#repository(reference, insecure || rule?.insecure === true) };
  }

  async #repository(place: Place, insecure: boolean): Promise<RegistryStore> {
    const { host, repository } = place;
    const credentials = await this.#credentials(place);
    const tls = await this.certificates(host);
    const places = await this.#blobPlaces(host);
    return new RegistryStore({ client: this.client, host, repository, credentials, tls, insecure, places });
  }

  #credentials({
    host,
    repository,
  }: {
    host: RegistryHost;
    repository: RepositoryName | undefined;
  }): Promise<Credentials | undefined> {
    const { environment, signal } = this.#ports;
    const login = this.#logins.get(host);
    if (login) return Promise.resolve(login);
    // Keychains need the user's own environment.
    const env = Object.fromEntries(Object.entries(environment).filter(isSet));
    return findCredentials(host, repository, {
      environment: this.credentialEnvironment,
      askHelper: (helper, server, inner) => askDockerCredentialHelper(helper, server, { env, signal: inner }),
      signal,
    });
  }

  /** One object for each host, kept at the end. */
  #blobPlaces(host: RegistryHost): Promise<BlobPlaces> {
    return this.#places.get(host, async () => {
      const directory = await userCacheDirectory(this.#ports.environment);
      const opened = new BlobPlaces(host, directory && joinInside(directory, 'blob-places'));
      this.#ports.scope.defer(() => opened.save());
      return opened;
    });
  }
}

function isSet(entry: [string, string | undefined]): entry is [string, string] {
  return entry[1] !== undefined;
}
