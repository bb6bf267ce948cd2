import { StkError } from '../core/errors.ts';
import {
  formatReference,
  parseLayoutReference,
  parseRegistryReference,
  showReference,
  type LayoutReference,
  type RegistryReference,
} from '../oci/reference.ts';

/** Where several images go: a layout, or a registry below a path, each into a repository of its own name. */
export type Destination =
  | { readonly kind: 'oci'; readonly directory: string }
  | {
      readonly kind: 'docker';
      /** `host[:port][/path]` */
      readonly prefix: string;
    };

/** Parses where several images go. Throws `usage`: a tag there could belong to one of them only. */
export function parseDestination(text: string): Destination {
  if (text.startsWith('oci:')) {
    const { directory, tag } = parseLayoutReference(text);
    if (tag !== undefined) throw wrong(text, 'names a tag', 'name the layout alone: oci:DIR; tags come from --tag');
    return { kind: 'oci', directory };
  }
  if (!text.startsWith('docker://')) {
    throw wrong(text, 'has no known transport', 'write docker://HOST[/PATH] or oci:DIR');
  }
  const prefix = text.slice('docker://'.length).replace(/\/+$/, '');
  const tail = prefix.slice(prefix.lastIndexOf('/') + 1);
  if (prefix === '' || tail.includes('@') || (prefix.includes('/') && tail.includes(':'))) {
    throw wrong(text, prefix === '' ? 'names no registry' : 'names a tag', 'write docker://HOST[/PATH], and --tag TAG');
  }
  return { kind: 'docker', prefix };
}

/** `docker://HOST/PATH/NAME:TAG`, where no tag is `latest`; in a layout `NAME`, or `NAME_TAG`. */
export function targetOf(
  destination: Destination,
  name: string,
  tag: string | undefined,
): RegistryReference | LayoutReference {
  if (destination.kind === 'docker') {
    return parseRegistryReference(`docker://${destination.prefix}/${name}:${tag ?? 'latest'}`);
  }
  const { directory } = destination;
  return { kind: 'oci', directory, tag: tag === undefined ? name : `${name}_${tag}` };
}

/** Where one image goes: its own reference, completed with a tag. Throws `usage` for a digest, which nobody can choose. */
export function parseTarget(text: string, fallbackTag: string): RegistryReference | LayoutReference {
  if (text.startsWith('oci:')) {
    const target = parseLayoutReference(text);
    return { ...target, tag: target.tag ?? fallbackTag };
  }
  if (!text.startsWith('docker://')) {
    throw wrong(text, 'has no known transport', 'write docker://HOST/REPOSITORY[:TAG] or oci:DIR[:TAG]');
  }
  const target = parseRegistryReference(text);
  if (target.digest !== undefined) {
    throw wrong(text, 'names a digest', 'name a tag: the digest follows from what is published');
  }
  return target.tag === undefined ? parseRegistryReference(`${formatReference(target)}:latest`) : target;
}

function wrong(text: string, problem: string, hint: string): StkError {
  return new StkError('usage', `destination ${showReference(text)} ${problem}`, { hint });
}
