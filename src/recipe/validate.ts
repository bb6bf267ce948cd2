import { nearest, type Diagnostic } from '../core/diagnostics.ts';
import { dependenciesOf, type Dependency } from './dependencies.ts';
import type { ImageDefinition, Recipe } from './model.ts';

const MOST_DIAGNOSTICS = 200;

/**
 * What can be wrong between images and files: duplicate names, missing images, cycles. `unreadable` names images that
 * exist but could not be parsed: they are not reported as missing.
 */
export function validateRecipes(recipes: readonly Recipe[], unreadable: Iterable<string> = []): readonly Diagnostic[] {
  const images = new Map<string, ImageDefinition>();
  const diagnostics: Diagnostic[] = [];
  for (const recipe of recipes) {
    for (const image of recipe.images) {
      const other = images.get(image.name);
      if (other === undefined) images.set(image.name, image);
      else diagnostics.push(duplicateName(other, image));
    }
  }
  const others = new Set(unreadable);
  for (const image of images.values()) diagnostics.push(...missingImages(image, images, others));
  diagnostics.push(...cycles(images));
  return diagnostics.slice(0, MOST_DIAGNOSTICS);
}

function duplicateName({ span: first }: ImageDefinition, { name, span }: ImageDefinition): Diagnostic {
  const message = `duplicate layer name: ${first.file} and ${span.file} both have ${name}`;
  return { severity: 'error', rule: 'duplicate-name', message, span, suggestion: 'rename one of them' };
}

function missingImages(
  image: ImageDefinition,
  images: ReadonlyMap<string, ImageDefinition>,
  unreadable: ReadonlySet<string>,
): Diagnostic[] {
  return dependenciesOf(image).flatMap(({ image: target, span }): Diagnostic[] => {
    if (images.has(target) || unreadable.has(target)) return [];
    const near = nearest(target, images.keys());
    const message = `couldn't find dependencies for ${image.name}: ${image.name} -> ${target}: no image is called ${target}`;
    const suggestion =
      near === undefined ? 'define it in this file, or in one listed in config.prerequisites' : `did you mean ${near}?`;
    return [{ severity: 'error', rule: 'missing-image', message, span, suggestion }];
  });
}

/** One diagnostic per cycle that a depth-first walk meets. Without recursion: a chain may be as long as the file. */
function cycles(images: ReadonlyMap<string, ImageDefinition>): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const finished = new Set<string>();
  for (const start of images.keys()) {
    if (finished.has(start)) continue;
    const path: { readonly name: string; readonly edges: readonly Dependency[]; next: number }[] = [];
    const onPath = new Map<string, number>();
    const enter = (name: string) => {
      onPath.set(name, path.length);
      const image = images.get(name);
      path.push({ name, edges: image === undefined ? [] : dependenciesOf(image), next: 0 });
    };
    enter(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const edge = top.edges[top.next++];
      if (edge === undefined) {
        finished.add(top.name);
        onPath.delete(top.name);
        path.pop();
        continue;
      }
      const at = onPath.get(edge.image);
      if (at !== undefined) diagnostics.push(cycle([...path.slice(at).map(step => step.name), edge.image], edge));
      else if (!finished.has(edge.image)) enter(edge.image);
    }
  }
  return diagnostics;
}

function cycle(names: readonly string[], { span }: Dependency): Diagnostic {
  const shown = names.length > 20 ? [...names.slice(0, 10), '…', ...names.slice(-9)] : names;
  const message = `couldn't find dependencies for ${names[0]}: ${shown.join(' -> ')}`;
  const suggestion = 'an image cannot depend on itself: break the cycle';
  return { severity: 'error', rule: 'dependency-cycle', message, span, suggestion };
}
