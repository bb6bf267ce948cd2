import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const REPOSITORY = path.resolve(import.meta.dirname, '..');

/** The table of architecture.md: a room may import rooms of a lower rank only. */
const RANKS: Readonly<Record<string, number>> = {
  core: 0,
  host: 1,
  oci: 2,
  recipe: 3,
  squashfs: 2,
  plan: 3,
  layer: 3,
  registry: 3,
  sandbox: 3,
  archive: 4,
  sources: 4,
  signing: 4,
  apply: 4,
  lazy: 4,
  mount: 4,
  stores: 5,
  inventory: 5,
  caches: 5,
  builder: 6,
  transfer: 6,
  update: 6,
  container: 6,
  fleet: 7,
  cli: 8,
};

const GENERATED: ReadonlySet<string> = new Set([
  'src/recipe/recipe-validator.generated.ts',
  'src/fleet/fleet-validator.generated.ts',
]);
const MAX_LINES = 300;

interface SourceFile {
  /** Relative to the repository. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly string[];
}

const sources = readTree('src');
const byPath = new Map(sources.map(file => [file.path, file]));
const production = sources.filter(file => !/\.test\.tsx?$/.test(file.path));

describe('architecture', () => {
  it('knows the rank of every room', () => {
    const rooms = new Set(sources.map(file => roomOf(file.path)));
    expect([...rooms].filter(room => RANKS[room] === undefined)).toEqual([]);
  });

  it('says the same ranks in architecture.md', () => {
    const table = readFileSync(path.join(REPOSITORY, 'architecture.md'), 'utf8');
    const rows = [...table.matchAll(/^\| `([a-z]+)\/` +\| (\d) /gm)].map(([, room, rank]) => [room, Number(rank)]);
    expect(Object.fromEntries(rows)).toEqual(RANKS);
  });

  it('imports lower rooms only', () => {
    const wrong: string[] = [];
    for (const file of sources) {
      for (const target of localImports(file)) {
        const [from, to] = [roomOf(file.path), roomOf(target)];
        if (from !== to && RANKS[to]! >= RANKS[from]!) wrong.push(`${file.path} → ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('has no import cycles, types included', () => {
    expect(findCycles()).toEqual([]);
  });

  it('imports files that exist, with their extension', () => {
    const missing = production.flatMap(file =>
      localImports(file)
        .filter(target => target.startsWith('src/') && !byPath.has(target))
        .map(target => `${file.path} → ${target}`),
    );
    expect(missing).toEqual([]);
  });

  it('never imports tests, scripts or benches from production code', () => {
    const wrong = production.flatMap(file =>
      localImports(file)
        .filter(target => !target.startsWith('src/') || /\.test\.tsx?$/.test(target))
        .map(target => `${file.path} → ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it.each([
    ['execa', /^execa$/, /^src\/host\//],
    ['files by path', /^(node:)?fs(\/promises)?$/, /^src\/host\/(files|fuse\/device)\.ts$/],
    ['child_process', /^(node:)?child_process$/, /^src\/host\//],
    ['ink and react', /^(ink|react)(\/|$)/, /^src\/cli\/ui\/ink\//],
    ['ajv', /^ajv(\/|$)/, /^src\/(recipe|fleet)\/[a-z-]*validator/],
    ['HTTP', /^node:https?$/, /^src\/host\//],
    ['koffi', /^koffi$/, /^src\/host\/syscalls\/native\.ts$/],
    ['commander', /^commander$/, /^src\/cli\//],
    ['the test runner', /^(vitest|fast-check|ink-testing-library)(\/|$)/, /^$/],
  ])('keeps %s in its place', (_what, specifier, place) => {
    const wrong = production.filter(file => !place.test(file.path) && file.imports.some(name => specifier.test(name)));
    expect(wrong.map(file => file.path)).toEqual([]);
  });

  it.each([
    ['console', /\bconsole\s*\./],
    ['process.exit', /\bprocess\s*\.\s*exit(Code)?\b/],
    ['process.env', /\bprocess\s*\.\s*env\b/],
    ['process.cwd', /\bprocess\s*\.\s*cwd\b/],
    ['process.chdir', /\bprocess\s*\.\s*chdir\b/],
    ['named imports of these', /import\s*\{[^}]*\b(exit|env|cwd|chdir)\b[^}]*\}\s*from\s*'(node:)?process'/],
  ])('uses no %s below cli/', (_what, pattern) => {
    const below = production.filter(file => roomOf(file.path) !== 'cli' && !GENERATED.has(file.path));
    expect(below.filter(file => pattern.test(file.code)).map(file => file.path)).toEqual([]);
  });

  it('keeps every file short', () => {
    const files = [...sources, ...readTree('test'), ...readTree('scripts'), ...readTree('bench')];
    const long = files.filter(file => !GENERATED.has(file.path) && file.text.split('\n').length > MAX_LINES + 1);
    expect(long.map(file => `${file.path}: ${file.text.split('\n').length - 1} lines`)).toEqual([]);
  });

  it('names files in kebab-case and after what they hold', () => {
    const vague = /(^|[-/.])(utils?|helpers?|misc|common|manager)([-.]|$)/;
    const wrong = sources.filter(
      file => !/^[a-z0-9-]+(\.[a-z]+)*\.tsx?$/.test(path.basename(file.path)) || vague.test(file.path),
    );
    expect(wrong.map(file => file.path)).toEqual([]);
  });

  it('has no default exports and no type escapes', () => {
    const wrong = production.filter(
      file =>
        !GENERATED.has(file.path) && /^export default\b|\bas any\b|:\s*any\b|@ts-(ignore|nocheck)/m.test(file.code),
    );
    expect(wrong.map(file => file.path)).toEqual([]);
  });

  it('holds no path of the machine that it is checked out on', () => {
    const documents = ['README.md', 'architecture.md', 'style.md', 'stacker.yaml', 'package.json', 'setup'];
    const files = [...sources, ...['test', 'scripts', 'bench', 'docs', 'examples', 'schemas', '.ci'].flatMap(readTree)];
    const texts = [...files, ...documents.map(name => ({ path: name, text: readRepositoryFile(name) }))];
    const here = `${path.resolve(REPOSITORY)}/`;
    expect(texts.filter(file => file.text.includes(here)).map(file => file.path)).toEqual([]);
  });
});

function readRepositoryFile(name: string): string {
  return readFileSync(path.join(REPOSITORY, name), 'utf8');
}

function readTree(directory: string): SourceFile[] {
  const entries = readdirSync(path.join(REPOSITORY, directory), { recursive: true, withFileTypes: true });
  return entries
    .filter(
      entry =>
        entry.isFile() &&
        !entry.name.startsWith('.') &&
        /\.(tsx?|mjs|mts|md|json|ya?ml|sh|txt|c)$|^run$/.test(entry.name),
    )
    .map(entry => {
      const file = path.relative(REPOSITORY, path.join(entry.parentPath, entry.name));
      const text = readRepositoryFile(file);
      const code = /\.(tsx?|m[jt]s)$/.test(file) ? withoutComments(text) : '';
      return { path: file, text, code, imports: specifiers(code) };
    });
}

/** Good enough for this house's code: comments that stand alone or after white space, never inside of strings. */
function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

/** Everything that static, side-effect, re-exporting and dynamic imports name, and `import('…')` types. */
function specifiers(code: string): string[] {
  const forms = [/\bfrom\s*'([^']+)'/g, /\bimport\s*'([^']+)'/g, /\bimport\s*\(\s*'([^']+)'/g];
  return forms.flatMap(form => [...code.matchAll(form)].map(match => match[1]!));
}

function localImports(file: SourceFile): string[] {
  return file.imports
    .filter(name => name.startsWith('.'))
    .map(name => path.normalize(path.join(path.dirname(file.path), name)));
}

function roomOf(file: string): string {
  return file.split('/')[1] ?? '';
}

/** One cycle for each file from which a depth-first walk runs into its own path. */
function findCycles(): string[] {
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const walk = (file: string, trail: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(file)), file].join(' → '));
      return;
    }
    state.set(file, 'open');
    for (const target of localImports(byPath.get(file)!)) if (byPath.has(target)) walk(target, [...trail, file]);
    state.set(file, 'done');
  };
  for (const file of byPath.keys()) walk(file, []);
  return cycles;
}
