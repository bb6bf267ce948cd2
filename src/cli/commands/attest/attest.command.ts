import { Option, type Command } from 'commander';
import type { Act } from '../../act.ts';
import { ANY_IMAGE, platformOption, tlsVerify } from '../images/image-flags.ts';
import type { AttestFlags } from './attest.ts';
import type { AttestationsFlags } from './attestations.ts';

/** What is kept beside images: `attest` adds to it, `attestations` shows it. */
export function addAttestCommands(program: Command, act: Act): void {
  program
    .command('attest <ref>')
    .description('keep a bill of materials, or any statement about an image, beside it')
    .addOption(new Option('--sbom <format>', 'make a bill of materials of it').choices(['cyclonedx', 'spdx']))
    .option('--predicate <file>', 'what the statement says: a JSON file, or - for standard input')
    .option('--type <type>', 'of --predicate: cyclonedx, spdxjson, slsaprovenance1, openvex, vuln, or a URI')
    .option('--key <file>', 'sign the statement with this private key')
    .addOption(platformOption())
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
An image is TAG in the default layout, oci:DIR:TAG or docker://HOST/REPOSITORY:TAG. What is kept is an artifact that
refers to the image. With --key it is a bundle of sigstore's, as cosign keeps it; its password comes from STK_KEY_PASSWORD
or COSIGN_PASSWORD, or is asked for. --sbom also keeps the document as it is, where scanners look for it.

Examples:
  stk attest app --sbom cyclonedx
  stk attest docker://registry.example/app:1.0 --sbom spdx --key release.key
  stk attest app --predicate scan.json --type vuln --key release.key`,
    )
    .action(
      act(async (session, ref: string, flags: AttestFlags) => {
        const { runAttest } = await import('./attest.ts');
        return runAttest(session, ref, flags);
      }),
    );
  program
    .command('attestations <ref>')
    .description('show what is kept beside an image: statements, bills of materials, signatures of them')
    .option('--type <type>', 'only statements of this type, as for attest')
    .option('--content', 'print the documents themselves, one after the other')
    .addOption(platformOption())
    .option('--json', 'print one JSON object per line')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
${ANY_IMAGE}
Nothing of what is shown is verified: stk verify --attestation does that.

Examples:
  stk attestations app
  stk attestations docker://registry.example/app:1.0 --type slsaprovenance1 --content
  stk verify docker://registry.example/app:1.0 --attestation slsaprovenance1 --key release.pub`,
    )
    .action(
      act(async (session, ref: string, flags: AttestationsFlags) => {
        const { runAttestations } = await import('./attestations.ts');
        return runAttestations(session, ref, flags);
      }),
    );
}
