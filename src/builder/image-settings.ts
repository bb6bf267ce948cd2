import type { RuntimeConfig } from '../oci/descriptor.ts';
import type { ImageSettings } from '../recipe/model.ts';

/**
 * What the image's configuration says: the base's, changed by what the recipe sets. Setting `entrypoint` clears an
 * inherited `cmd`; `full_command` is the whole entrypoint and clears `cmd`,
 * so that words after `docker run IMAGE` are added to it.
 */
export function imageSettings(
  base: RuntimeConfig | undefined,
  settings: ImageSettings,
  generatedLabels: Readonly<Record<string, string>>,
): RuntimeConfig {
  const labels = { ...base?.Labels, ...settings.labels, ...generatedLabels };
  const volumes = { ...base?.Volumes, ...Object.fromEntries(settings.volumes.map(volume => [volume, {}])) };
  const env = mergeEnvironment(base?.Env ?? [], settings.environment);
  const { Env: _env, Labels: _labels, Volumes: _volumes, Cmd: _cmd, Entrypoint: _entrypoint, ...rest } = base ?? {};
  return {
    ...rest,
    ...(settings.runtimeUser === undefined ? {} : { User: settings.runtimeUser }),
    ...(settings.workingDir === undefined ? {} : { WorkingDir: settings.workingDir }),
    ...(env.length === 0 ? {} : { Env: env }),
    ...commands(base, settings),
    ...(Object.keys(labels).length === 0 ? {} : { Labels: labels }),
    ...(Object.keys(volumes).length === 0 ? {} : { Volumes: volumes }),
  };
}

function commands(base: RuntimeConfig | undefined, settings: ImageSettings): Pick<RuntimeConfig, 'Cmd' | 'Entrypoint'> {
  if (settings.fullCommand) return { Entrypoint: settings.fullCommand };
  const entrypoint = settings.entrypoint ?? base?.Entrypoint;
  const cmd = settings.cmd ?? (settings.entrypoint ? undefined : base?.Cmd);
  return { ...(entrypoint ? { Entrypoint: entrypoint } : {}), ...(cmd ? { Cmd: cmd } : {}) };
}

/** A variable of the base keeps its place and takes the new value; new ones follow in the recipe's order. */
function mergeEnvironment(base: readonly string[], added: Readonly<Record<string, string>>): string[] {
  const variables = new Map<string, string>();
  for (const entry of base) {
    const [name = ''] = entry.split('=', 1);
    variables.set(name, entry.slice(name.length + 1));
  }
  for (const [name, value] of Object.entries(added)) variables.set(name, value);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}
