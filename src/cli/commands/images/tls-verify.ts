import { InvalidArgumentError, Option } from 'commander';

/** `--tls-verify BOOL`, as skopeo has it. */
export function tlsVerify(): Option {
  return new Option('--tls-verify <bool>', 'false accepts any certificate of a registry, and plain http')
    .default(true)
    .argParser(value => {
      if (value === 'true' || value === 'false') return value === 'true';
      throw new InvalidArgumentError('true or false');
    });
}
