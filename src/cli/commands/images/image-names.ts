import type { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { parseImageName, type ImageName } from '../../../oci/image-name.ts';
import { hostPlatform, parsePlatform } from '../../../oci/platform.ts';
import { findImage, type FoundImage } from '../../../stores/find-image.ts';
import type { Session } from '../../session.ts';
import type { ImageFlags } from './image-flags.ts';

type PlatformFlag = { readonly platform?: string | undefined };

/** The name of a whole image. Throws `invalid-input` for what is none, `usage` for a path in one. */
export function imageName(text: string, { platform }: PlatformFlag = {}): ImageName {
  const name = imageOrPath(text, { platform });
  if (name.path === undefined) return name;
  throw new StkError('usage', `an image is meant, not a path in it: ${text}`, { hint: 'leave :/… out' });
}

/** As `imageName`, where a path in the image may follow. */
export function imageOrPath(text: string, { platform }: PlatformFlag = {}): ImageName {
  const name = parseImageName(text);
  return platform === undefined ? name : { ...name, platform: parsePlatform(platform) };
}

/** Finds the image of a name, wherever it lies. */
export function findNamed(
  { stores, signal }: Session,
  name: ImageName,
  { tlsVerify = true, held = true }: Pick<ImageFlags, 'tlsVerify'> & { readonly held?: boolean },
  scope: AsyncScope,
): Promise<FoundImage> {
  return findImage(stores, name, { tlsVerify, held, hostPlatform: hostPlatform(), signal }, scope);
}
