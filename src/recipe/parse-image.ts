import type { ImageDefinition, ImageSettings } from './model.ts';
import { booleanOf, oneOrMore, itemsOf, stringMapOf, textOf, textsOf, valueOf, wordOf } from './node-access.ts';
import type { Platform } from '../oci/descriptor.ts';
import { parsePlatform } from '../oci/platform.ts';
import { parseApply, parseBase } from './parse-base.ts';
import { parseImports } from './parse-imports.ts';
import { parseBinds, parseCacheDirs, parseOverlayDirs, parseSecrets } from './parse-mounts.ts';
import type { ParseContext } from './parse-source.ts';
import { passthroughPattern } from './passthrough.ts';
import { shellSplit } from './shell-split.ts';
import type { YamlEntry, YamlMap, YamlNode } from './yaml-tree.ts';

/** One image of a recipe. `undefined` if it has no usable base; everything else that is wrong has been reported too. */
export function parseImage(name: string, entry: YamlEntry, context: ParseContext): ImageDefinition | undefined {
  checkName(name, entry, context);
  const map = entry.value;
  if (map.kind !== 'map') return undefined;
  const from = parseBase(valueOf(map, 'from'), context);
  const network = textOf(valueOf(map, 'network')) === 'none' ? 'none' : 'host';
  const rest = {
    apply: parseApply(valueOf(map, 'apply'), context),
    imports: parseImports(map, name, context),
    overlayDirs: parseOverlayDirs(valueOf(map, 'overlay_dirs'), context),
    binds: parseBinds(valueOf(map, 'binds'), context),
    run: scriptOf(valueOf(map, 'run')),
    generateLabels: scriptOf(valueOf(map, 'generate_labels')),
    buildEnv: parseEnvironment(valueOf(map, 'build_env'), context),
    buildEnvPassthrough: parsePassthrough(valueOf(map, 'build_env_passthrough'), context),
    secrets: parseSecrets(valueOf(map, 'secrets'), context),
    cacheDirs: parseCacheDirs(valueOf(map, 'cache_dirs'), context),
    network,
    stableIds: booleanOf(valueOf(map, 'stable_ids')) ?? true,
    config: parseSettings(map, context),
    annotations: stringMapOf(valueOf(map, 'annotations')),
    buildOnly: booleanOf(valueOf(map, 'build_only')) ?? false,
    os: wordOf(valueOf(map, 'os')),
    arch: wordOf(valueOf(map, 'arch')),
    platforms: parsePlatforms(map, context),
  } as const;
  return from && { name, span: context.problems.span(entry.key), from, ...rest };
}

function parsePlatforms(map: YamlMap, { problems }: ParseContext): readonly Platform[] | undefined {
  const node = valueOf(map, 'platforms');
  if (node && valueOf(map, 'arch')) {
    const hint = 'leave one of them out: arch makes one image, platforms one for each';
    problems.error('invalid-value', 'an image has arch or platforms, not both', node.range, hint);
  }
  const platforms = oneOrMore(node).flatMap(item => {
    const text = textOf(item) ?? '';
    try {
      return [parsePlatform(text)];
    } catch {
      const hint = 'write OS/ARCH or OS/ARCH/VARIANT: linux/arm64';
      problems.error('invalid-value', `not a platform: ${text}`, item.range, hint);
      return [];
    }
  });
  return platforms.length === 0 ? undefined : platforms;
}

function checkName(name: string, entry: YamlEntry, { problems }: ParseContext): void {
  if (name.includes(':')) {
    problems.error('image-name', `the image name ${name} holds ':', which is forbidden`, entry.key);
  } else if (name === '' || name.length > 128 || /^\.{1,2}$|[/\s\u0000-\u001f\u007f]/.test(name)) {
    const why = 'a name has 1 to 128 characters and holds no slash, white space or control character';
    problems.error('image-name', `not a name for an image: ${JSON.stringify(name.slice(0, 60))}`, entry.key, why);
  }
}

/** A script, its lines joined; nothing to run is `undefined`. */
function scriptOf(node: YamlNode | undefined): string | undefined {
  const text = oneOrMore(node)
    .flatMap(item => textOf(item) ?? [])
    .join('\n');
  return text.trim() === '' ? undefined : text;
}

function parseEnvironment(node: YamlNode | undefined, { problems }: ParseContext): Readonly<Record<string, string>> {
  if (node?.kind === 'map') {
    for (const [key, entry] of node.entries) {
      if (key === '' || key.includes('=')) {
        problems.error('invalid-value', `not a name for an environment variable: ${JSON.stringify(key)}`, entry.key);
      }
    }
  }
  return stringMapOf(node);
}

/** An empty list, as in stackerfiles, means the default. */
function parsePassthrough(node: YamlNode | undefined, { problems }: ParseContext): readonly string[] | undefined {
  for (const item of itemsOf(node)) {
    const text = textOf(item);
    if (text !== undefined && passthroughPattern(text) === undefined) {
      problems.error('invalid-value', `not a regular expression: ${text}`, item.range);
    }
  }
  const patterns = textsOf(node);
  return patterns.length === 0 ? undefined : patterns;
}

function parseSettings(map: YamlMap, context: ParseContext): ImageSettings {
  return {
    environment: parseEnvironment(valueOf(map, 'environment'), context),
    labels: stringMapOf(valueOf(map, 'labels')),
    volumes: textsOf(valueOf(map, 'volumes')),
    workingDir: wordOf(valueOf(map, 'working_dir')),
    runtimeUser: wordOf(valueOf(map, 'runtime_user')),
    cmd: parseCommand(valueOf(map, 'cmd'), context),
    entrypoint: parseCommand(valueOf(map, 'entrypoint'), context),
    fullCommand: parseCommand(valueOf(map, 'full_command'), context),
  };
}

function parseCommand(node: YamlNode | undefined, { problems }: ParseContext): readonly string[] | undefined {
  if (node?.kind === 'list') return textsOf(node);
  const text = textOf(node);
  if (node === undefined || text === undefined) return undefined;
  const words = shellSplit(text);
  if (!('message' in words)) return words;
  problems.error('invalid-value', `the command cannot be split: ${words.message}`, node.range, 'write it as a list');
  return undefined;
}
