import { digestOf } from '../core/digest.ts';
import type { Finding } from './vulnerability-report.ts';

/** What is known of one finding in one image after an update. */
export interface VexStatement {
  readonly finding: Finding;
  readonly status: 'fixed' | 'affected';
  /** The image, as a package URL. */
  readonly product: string;
  /** The package in it, as a package URL. */
  readonly component: string | undefined;
  /** What to do about one that is affected. */
  readonly action: string | undefined;
}

/** A document of OpenVEX 0.2.0 (https://github.com/openvex/spec); the same statements give the same bytes. */
export function openVex(statements: readonly VexStatement[], author: string, timestamp: string): string {
  const body = statements.map(({ finding, status, product, component, action }) => ({
    vulnerability: { name: finding.id },
    products: [{ '@id': product, ...(component === undefined ? {} : { subcomponents: [{ '@id': component }] }) }],
    status,
    ...(status === 'affected' ? { action_statement: action ?? 'No fixed version is available.' } : {}),
  }));
  const id = digestOf(JSON.stringify([author, timestamp, body])).slice('sha256:'.length);
  const document = {
    '@context': 'https://openvex.dev/ns/v0.2.0',
    '@id': `https://openvex.dev/docs/public/vex-${id}`,
    author,
    timestamp,
    version: 1,
    statements: body,
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
