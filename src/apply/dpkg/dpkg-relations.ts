import { compareDebianVersions } from './debian-version.ts';
import { isInstalled, type PackageRecord } from './dpkg-database.ts';
import { fieldOf } from '../packages/stanzas.ts';

/** What an installed package offers to relations: itself and what it provides. */
interface Offer {
  readonly by: PackageRecord;
  /** `undefined` for a virtual package without a version. */
  readonly version: string | undefined;
}

/** Everything that is installed, by real and virtual names. */
export class Installed {
  readonly #offers = new Map<string, Offer[]>();

  constructor(records: Iterable<PackageRecord>) {
    for (const record of records) {
      if (!isInstalled(record)) continue;
      this.#add(record.name, { by: record, version: record.version });
      for (const [alternative] of relationsOf(record, 'Provides')) {
        if (alternative) this.#add(alternative.name, { by: record, version: alternative.version });
      }
    }
  }

  #add(name: string, offer: Offer): void {
    const offers = this.#offers.get(name);
    if (offers) offers.push(offer);
    else this.#offers.set(name, [offer]);
  }

  /** Relations of the package that do not hold here, as they stand in its stanza. */
  broken(record: PackageRecord): readonly BrokenRelation[] {
    const broken: BrokenRelation[] = [];
    for (const field of ['Pre-Depends', 'Depends'] as const) {
      for (const alternatives of relationsOf(record, field)) {
        if (alternatives.length > 0 && !alternatives.some(wanted => this.#matching(wanted, record).length > 0)) {
          broken.push({ field, text: alternatives.map(({ text }) => text).join(' | '), by: undefined });
        }
      }
    }
    for (const field of ['Conflicts', 'Breaks'] as const) {
      for (const [unwanted] of relationsOf(record, field)) {
        const other = unwanted && this.#matching(unwanted, record).find(({ by }) => by.name !== record.name);
        if (other) broken.push({ field, text: unwanted.text, by: other.by });
      }
    }
    return broken;
  }

  #matching(relation: Relation, of: PackageRecord): readonly Offer[] {
    const offers = this.#offers.get(relation.name) ?? [];
    return offers.filter(({ by, version }) => {
      const { architecture } = relation;
      if (architecture !== undefined && architecture !== 'any' && architecture !== by.architecture) return false;
      // Another architecture's package serves only where it says so; conflicts are told by the name alone.
      return satisfies(version, relation) && (by.name !== of.name || version !== undefined);
    });
  }
}

export interface BrokenRelation {
  readonly field: 'Pre-Depends' | 'Depends' | 'Conflicts' | 'Breaks';
  readonly text: string;
  /** For conflicts, the package that is in the way. */
  readonly by: PackageRecord | undefined;
}

interface Relation {
  readonly name: string;
  readonly architecture: string | undefined;
  readonly operator: string | undefined;
  readonly version: string | undefined;
  readonly text: string;
}

const RELATION = /^([A-Za-z0-9][A-Za-z0-9+._-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?$/;

/** Whether a package takes over files of another. */
export function replaces(record: PackageRecord, other: PackageRecord): boolean {
  return relationsOf(record, 'Replaces').some(([wanted]) => {
    if (wanted === undefined) return false;
    if (wanted.name === other.name) return satisfies(other.version, wanted);
    return relationsOf(other, 'Provides').some(
      ([offer]) => offer?.name === wanted.name && satisfies(offer.version, wanted),
    );
  });
}

/** A relation field: each of its parts with the alternatives; what cannot be read holds always. */
function relationsOf(record: PackageRecord, field: string): readonly (readonly Relation[])[] {
  const value = fieldOf(record.stanza, field);
  if (value === undefined || value === '') return [];
  return value.split(',').map(part => {
    const alternatives = part.split('|').map(text => parseRelation(text.trim()));
    return alternatives.every(relation => relation !== undefined) ? alternatives : [];
  });
}

function parseRelation(text: string): Relation | undefined {
  const [, name, architecture, operator, version] = RELATION.exec(text) ?? [];
  return name === undefined ? undefined : { name, architecture, operator, version, text };
}

function satisfies(version: string | undefined, relation: Relation): boolean {
  if (relation.version === undefined) return true;
  if (version === undefined) return false;
  const order = compareDebianVersions(version, relation.version);
  switch (relation.operator) {
    case '<<':
      return order < 0;
    case '>>':
      return order > 0;
    case '=':
      return order === 0;
    case '<=':
    case '<':
      return order <= 0;
    default:
      return order >= 0;
  }
}
