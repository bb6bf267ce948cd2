/** Kinds of layers that an image can be written with. */
export type LayerType = 'squashfs' | 'tar';

export const LAYER_TYPES: readonly LayerType[] = ['squashfs', 'tar'];

/** Tag of an image for the n-th wanted layer type: NAME for the first, NAME-TYPE for each further one. */
export function tagFor(name: string, type: LayerType, wanted: readonly LayerType[]): string {
  return wanted[0] === type ? name : `${name}-${type}`;
}
