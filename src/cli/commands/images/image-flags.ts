import { InvalidArgumentError, Option } from 'commander';

/** Flags of every command that is given the name of an image. */
export interface ImageFlags {
  readonly tlsVerify?: boolean;
  readonly platform?: string;
}

/** How images are named, for the help of commands that read them wherever they lie. */
export const ANY_IMAGE = `An image is TAG in the default layout, oci:DIR:TAG, docker://HOST/REPOSITORY:TAG, or saved in FILE.tar,
docker-archive:FILE:NAME or oci-archive:FILE:NAME; @sha256:… after any of them names it by digest.`;

/** The same for commands that mount images. */
export const MOUNTED_IMAGE = `An image is TAG in the default layout, oci:DIR:TAG, or docker://HOST/REPOSITORY:TAG, of which only what is read is
fetched; @sha256:… after any of them names it by digest.`;

/** `--tls-verify BOOL`, as skopeo has it. */
export function tlsVerify(): Option {
  return new Option('--tls-verify <bool>', 'false accepts any certificate of a registry, and plain http')
    .default(true)
    .argParser(value => {
      if (value === 'true' || value === 'false') return value === 'true';
      throw new InvalidArgumentError('true or false');
    });
}

/** `--platform OS/ARCH[/VARIANT]`. */
export function platformOption(): Option {
  return new Option('--platform <os/arch>', 'which image of an index: OS/ARCH[/VARIANT] (default: that of this host)');
}
