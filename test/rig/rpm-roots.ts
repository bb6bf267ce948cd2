import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';

export const RPM_DATABASE = 'var/lib/rpm/rpmdb.sqlite';

export interface RpmSpec {
  readonly name: string;
  readonly version?: string;
  readonly release?: string;
  readonly epoch?: number;
  /** Paths without a leading slash. */
  readonly files?: readonly string[];
  /** Directories that belong to it. */
  readonly directories?: readonly string[];
  /** Name of the user and group that its files belong to, root's by default. */
  readonly owner?: string;
  /** Further lines of the preamble. */
  readonly preamble?: readonly string[];
}

/** Real packages and root directories to install them in; without scripts and dependencies, so that roots may be empty. */
export class RpmRoots implements AsyncDisposable {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async open(): Promise<RpmRoots> {
    return new RpmRoots(await mkdtemp(path.join(os.tmpdir(), 'stk-rpm-')));
  }

  /** Builds a package; returns its file. */
  async build({
    name,
    version = '1',
    release = '1',
    epoch,
    files = [],
    directories = [],
    owner,
    preamble = [],
  }: RpmSpec): Promise<string> {
    const spec = path.join(this.directory, `${name}-${version}-${release}.spec`);
    const install = files.map(
      file => `mkdir -p $(dirname %{buildroot}/${file}); echo ${name} ${version} > %{buildroot}/${file}`,
    );
    for (const directory of directories) install.push(`mkdir -p %{buildroot}/${directory}`);
    const text = [
      `Name: ${name}`,
      `Version: ${version}`,
      `Release: ${release}`,
      ...(epoch === undefined ? [] : [`Epoch: ${epoch}`]),
      'Summary: for tests',
      'License: none',
      'BuildArch: noarch',
      ...preamble,
      '%description',
      '%install',
      ...install,
      '%files',
      ...(owner === undefined ? [] : [`%defattr(-, ${owner}, ${owner})`]),
      ...directories.map(directory => `%dir /${directory}`),
      ...files.map(file => `/${file}`),
      '',
    ];
    await writeFile(spec, text.join('\n'));
    await execa('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${this.directory}/top`, spec]);
    return path.join(this.directory, 'top/RPMS/noarch', `${name}-${version}-${release}.noarch.rpm`);
  }

  /** A copy of a root, or an empty one. */
  async root(name: string, from?: string): Promise<string> {
    const directory = path.join(this.directory, name);
    if (from === undefined) await mkdir(directory);
    else await execa('cp', ['-a', path.join(this.directory, from), directory]);
    return directory;
  }

  async rpm(root: string, ...args: readonly string[]): Promise<string> {
    const common = [
      '--root',
      path.join(this.directory, root),
      '--dbpath',
      '/var/lib/rpm',
      '--define',
      '_db_backend sqlite',
    ];
    const { stdout } = await execa('rpm', [...common, ...args], { stripFinalNewline: false });
    return stdout;
  }

  async install(root: string, ...packages: readonly string[]): Promise<void> {
    await this.rpm(root, '--upgrade', '--nodeps', '--noscripts', ...packages);
  }

  /** Every package with its files, and what the tables find, in one text. */
  async listing(root: string): Promise<string> {
    const all = await this.rpm(root, '-qa', '--qf', '%{NEVRA}\n[%{FILENAMES}\n]');
    const names = all.split('\n').filter(line => line !== '' && !line.startsWith('/'));
    const found: string[] = [];
    for (const name of names) {
      found.push(await this.rpm(root, '-q', name.replace(/-[^-]+-[^-]+$/, '')));
      found.push(await this.rpm(root, '-q', '--whatprovides', name.replace(/-[^-]+-[^-]+$/, '')));
    }
    return all + found.join('');
  }

  async database(root: string): Promise<Buffer> {
    return readFile(path.join(this.directory, root, RPM_DATABASE));
  }

  /** Lays the files of roots into one, with this database. */
  async merged(name: string, roots: readonly string[], database: Uint8Array): Promise<void> {
    const target = path.join(this.directory, name);
    for (const root of roots)
      await cp(path.join(this.directory, root), target, { recursive: true, preserveTimestamps: true });
    await rm(path.join(target, 'var/lib/rpm'), { recursive: true });
    await mkdir(path.join(target, 'var/lib/rpm'));
    await writeFile(path.join(target, RPM_DATABASE), database);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}
