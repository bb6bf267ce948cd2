// The licences of the packages that a bundle contains, one text after another, from the bundler's list of inputs.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** The text of the notices. Throws where a bundled package states no licence: it must not be shipped then. */
export function thirdPartyNotices(inputs) {
  const directories = new Set();
  for (const input of inputs) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) directories.add(found[1]);
  }
  const texts = new Map();
  for (const directory of [...directories].sort()) {
    const { name, version, license } = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8'));
    if (typeof license !== 'string') throw new Error(`${name} ${version} states no licence`);
    const files = readdirSync(directory).filter(file => /^(licen[cs]e|copying|notice)/i.test(file));
    const parts = files.sort().map(file => readFileSync(path.join(directory, file), 'utf8').trim());
    texts.set(`${name} ${version} (${license})`, parts.join('\n\n'));
  }
  const head = 'stk contains these packages, under the licences that follow their names.\n';
  const rule = '-'.repeat(80);
  return [head, ...[...texts].map(([title, text]) => `${rule}\n${title}\n\n${text}\n`)].join('\n');
}
