import { isDeepStrictEqual } from 'node:util';
import type { ConflictRule } from '../apply/merge-problem.ts';
import { printable } from '../apply/printable.ts';
import { StkError } from '../core/errors.ts';
import { say, silent, type Emit } from '../core/events.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import type { RuntimeConfig } from '../oci/descriptor.ts';
import { BASE_CONFIG, parseBaseConfig } from '../oci/layer-annotations.ts';
import { mergeSettings, type SettingClash } from './merge-settings.ts';
import type { StoredImage, UpdateParts } from './update-plan.ts';

/**
 * The settings of an image on its new base; `undefined` where they stay. Where nobody knows what
 * the old base had set, they stay, too, with a warning. Throws `conflict` with all settings that both changed and no rule
 * settles.
 */
export function updateSettings(
  image: StoredImage,
  parts: UpdateParts,
  rules: readonly ConflictRule[],
  emit: Emit = silent,
): RuntimeConfig | undefined {
  if (parts.base === undefined) return undefined;
  const own = image.config.config ?? {};
  const before = parseBaseConfig(image.manifest.annotations?.[BASE_CONFIG]) ?? parts.oldBaseSettings;
  if (before === undefined) {
    say(emit, 'warning', `${image.name}: what its old base had set is not known any more, so all settings stay`);
    return undefined;
  }
  const base = parts.base.config.config ?? {};
  const { settings, settled, clashes } = mergeSettings({ before, base, image: own }, rules);
  for (const { name, taken, ...values } of settled) {
    const [kept, left] = taken === 'first' ? [values.base, values.image] : [values.image, values.base];
    say(emit, 'info', `${image.name}: ${printable(name)} is ${shown(kept)}, not ${shown(left)}`);
  }
  if (clashes.length > 0) throw clashError(image.name, clashes);
  const { settings: same } = mergeSettings({ before: own, base: own, image: own }, []);
  return isDeepStrictEqual(settings, same) ? undefined : settings;
}

function clashError(image: string, clashes: readonly SettingClash[]): StkError {
  const lines = clashes.map(
    ({ name, base, image: own }) => `  ${printable(name)}: the new base: ${shown(base)}; ${image}: ${shown(own)}`,
  );
  const count = `${clashes.length} ${clashes.length === 1 ? 'setting' : 'settings'}`;
  const example = printable(clashes[0]!.name).replaceAll("'", '*');
  return new StkError(
    'conflict',
    `${image} cannot be updated: it and the new base changed ${count}\n${lines.join('\n')}`,
    {
      hint: `settle each by a rule: --conflict '${example}=last' for the image's value, =first for the base's`,
      facts: { image, settings: clashes.map(({ name }) => name) },
    },
  );
}

const MOST_SHOWN = 200;

function shown(value: JsonValue | undefined): string {
  return value === undefined ? 'nothing' : printable(JSON.stringify(value).slice(0, MOST_SHOWN));
}
