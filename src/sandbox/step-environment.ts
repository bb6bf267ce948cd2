const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The whole environment of a step; later sources win: defaults, what passes through, `build_env`, the image's name. */
export function stepEnvironment(
  passed: Readonly<Record<string, string>>,
  buildEnv: Readonly<Record<string, string>>,
  imageName: string,
): Record<string, string> {
  return { PATH: DEFAULT_PATH, HOME: '/root', ...passed, ...buildEnv, STACKER_LAYER_NAME: imageName };
}
