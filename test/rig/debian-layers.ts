import { execa } from 'execa';
import { inject } from 'vitest';
import type { Settings } from './shell-image.ts';
import type { StkRig } from './stk-rig.ts';
import { blobPath, readManifest } from './tree-listing.ts';

/** Images that each install one package on the same Debian, by image name. */
export type PackageImages = Readonly<Record<string, string>>;

const QUIET = 'export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8';

function install(...packages: readonly string[]): string {
  return `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
}

export function built(tag: string, settings: Settings): Settings {
  return { from: { type: 'built', tag }, ...settings };
}

/** A recipe of a Debian with package lists (`debian`), and of an image on it for each package. */
export function debianRecipe(images: PackageImages): Record<string, Settings> {
  const recipe: Record<string, Settings> = {
    debian: { from: { type: 'tar', url: inject('stk').debianBase }, run: 'apt-get update' },
  };
  for (const [name, packages] of Object.entries(images)) {
    recipe[name] = built('debian', { run: [QUIET, install(packages)] });
  }
  return recipe;
}

/** An image in which the packages were installed one after the other. */
export function oneAfterTheOther(packages: readonly string[]): Settings {
  return built('debian', { run: [QUIET, ...packages.map(name => install(name))] });
}

/** What a person would look at: each a command whose output goes to `/report/NAME`. */
const CHECKS: Readonly<Record<string, string>> = {
  list: 'dpkg -l',
  audit: 'dpkg --audit',
  verify: 'dpkg --verify',
  check: 'apt-get check',
  selections: 'dpkg --get-selections',
  libraries: 'ldconfig -p',
  automatic: 'apt-mark showauto | sort',
  manual: 'apt-mark showmanual | sort',
  superfluous: 'apt-get -s autoremove',
  questions: 'grep -h ^Name: /var/cache/debconf/config.dat',
  alternatives: 'update-alternatives --get-selections | sort',
  accounts: 'sort /etc/passwd /etc/group',
  // dpkg writes its database anew here and in the next steps.
  install: `${install('hello')} >/dev/null 2>&1 && hello`,
  rewritten: 'sed "/^Package: hello$/,/^$/d" /var/lib/dpkg/status | cmp - /report/status.before && echo same',
  remove: 'apt-get remove -y hello >/dev/null && ! dpkg -s hello 2>/dev/null && echo gone',
  cache:
    'cp /etc/ld.so.cache /report/ld.so.cache.before; ldconfig -X && cmp /etc/ld.so.cache /report/ld.so.cache.before && echo same',
};

/** An image on top of another that looks at it and writes what it finds to `/report`. */
export function inspected(tag: string): Settings {
  const lines = Object.entries(CHECKS).map(
    ([name, command]) => `{ ${command}; } >/report/${name} 2>&1 || echo "failed: $?" >>/report/${name}`,
  );
  return built(tag, {
    run: ['set +x', QUIET, 'mkdir /report', 'cp /var/lib/dpkg/status /report/status.before', ...lines],
  });
}

export type Report = Readonly<Record<string, string>>;

/** What `inspected` found. */
export async function readReport(rig: StkRig, tag: string): Promise<Report> {
  const { layers } = await readManifest(rig.path('oci'), tag);
  const blob = blobPath(rig.path('oci'), layers.at(-1)!.digest);
  const found: Record<string, string> = {};
  for (const name of Object.keys(CHECKS)) {
    found[name] = (await execa('unsquashfs', ['-cat', blob, `report/${name}`])).stdout;
  }
  return found;
}
