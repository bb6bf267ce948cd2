import type { Platform } from '../oci/descriptor.ts';
import type { ImageDefinition } from '../recipe/model.ts';
import type { BuildOptions } from './options.ts';

/** What an image is built for: its recipe's `os` and `arch`, and where those say nothing the build's platform. */
export function imagePlatform(definition: ImageDefinition, { platform }: Pick<BuildOptions, 'platform'>): Platform {
  if (definition.arch === undefined) return { ...platform, os: definition.os ?? platform.os };
  const [architecture = definition.arch, variant] = definition.arch.split('/');
  return { os: definition.os ?? platform.os, architecture, ...(variant === undefined ? {} : { variant }) };
}
