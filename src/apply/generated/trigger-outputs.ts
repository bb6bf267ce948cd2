import type { MergeContext } from '../driver.ts';
import { findTool } from './generated-tools.ts';

/** What is made of files when dpkg activates a trigger for them. */
interface TriggerOutput {
  readonly trigger: RegExp;
  /** One file that a program of the image makes, `$1` for the pattern's first group. */
  readonly path?: string;
}

const OUTPUTS: readonly TriggerOutput[] = [
  // United with the files of every side, if each side's package has answered for its own.
  { trigger: /^ldconfig$/ },
  { trigger: /^\/usr\/share\/debianutils\/shells\.d$/ },
  { trigger: /^update-ca-certificates(?:-fresh)?$/ },
  { trigger: /^\/usr\/share\/glib-2\.0\/schemas$/, path: 'usr/share/glib-2.0/schemas/gschemas.compiled' },
  { trigger: /^\/(.+\/gio\/modules)$/, path: '$1/giomodule.cache' },
  { trigger: /^\/(.+\/gdk-pixbuf-2\.0\/[^/]+)\/loaders$/, path: '$1/loaders.cache' },
  { trigger: /^\/(.+\/gtk-3\.0\/3\.0\.0)\/immodules$/, path: '$1/immodules.cache' },
  { trigger: /^\/usr\/share\/applications$/, path: 'usr/share/applications/mimeinfo.cache' },
];

/**
 * How the merge itself comes to what a trigger is for: `united` from the sides' own, or made anew by a command.
 * `undefined` where only the package knows, or its program or the file is not in the images.
 */
export async function knownOutput(
  trigger: string,
  context: MergeContext,
): Promise<'united' | { readonly path: string; readonly command: readonly string[] } | undefined> {
  const output = OUTPUTS.find(each => each.trigger.test(trigger));
  if (output === undefined) return undefined;
  if (output.path === undefined) return 'united';
  const path = output.path.replace('$1', () => output.trigger.exec(trigger)![1]!);
  const { sides } = await context.versionsOf(path);
  if (!context.mayRun || sides.every(({ node }) => node?.inode.type !== 'file')) return undefined;
  const command = (await findTool(path, context))?.command;
  return command === undefined ? undefined : { path, command };
}
