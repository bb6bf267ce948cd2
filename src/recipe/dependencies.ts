import type { SourceSpan } from '../core/diagnostics.ts';
import type { ImageDefinition } from './model.ts';

/** An image that must be built before another one, and the directive that says so. */
export interface Dependency {
  readonly image: string;
  readonly via: 'from' | 'apply' | 'imports';
  readonly span: SourceSpan;
}

/** In the order in which a build uses them; one image may occur several times. */
export function dependenciesOf(image: ImageDefinition): readonly Dependency[] {
  const found: Dependency[] = [];
  const { from } = image;
  if (from.type === 'built') found.push({ image: from.image, via: 'from', span: from.span });
  if (from.type === 'tar' && from.source.type === 'image') {
    found.push({ image: from.source.image, via: 'from', span: from.span });
  }
  for (const { reference, span } of image.apply) {
    if (reference.type === 'built') found.push({ image: reference.image, via: 'apply', span });
  }
  for (const { source, span } of image.imports) {
    if (source.type === 'image') found.push({ image: source.image, via: 'imports', span });
  }
  return found;
}
