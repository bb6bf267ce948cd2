import type { ImageConfig } from '../oci/descriptor.ts';

const PREFIX = 'org.opencontainers.image.';

/**
 * What image-spec, conversion.md ("Annotation Fields" and "Optional Fields") makes of a configuration: members of the
 * image, and above them its labels, which win where both name the same.
 */
export function imageAnnotations(image: ImageConfig): Readonly<Record<string, string>> {
  const { config } = image;
  const other = image as unknown as Readonly<Record<string, unknown>>;
  const features = other['os.features'];
  const fields: Readonly<Record<string, unknown>> = {
    os: image.os,
    architecture: image.architecture,
    variant: image.variant,
    'os.version': other['os.version'],
    'os.features': Array.isArray(features) ? features.join(',') : undefined,
    author: image.author,
    created: image.created,
    stopSignal: config?.StopSignal,
    exposedPorts: config?.ExposedPorts && Object.keys(config.ExposedPorts).sort().join(','),
  };
  const annotations: Record<string, string> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string' && value !== '') annotations[`${PREFIX}${name}`] = value;
  }
  // A key must not be empty (runtime-spec, config.md, "Annotations").
  const labels = Object.entries(config?.Labels ?? {}).filter(([name]) => name !== '');
  return { ...annotations, ...Object.fromEntries(labels) };
}
