import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { tagDigest } from '../rig/applied-app.ts';
import { requires } from '../rig/gates.ts';
import { inRole, layerDigest, packFiles, writeStack, type StackLayer } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'tool:veritysetup', 'tool:mksquashfs');

const STATUS = 'var/lib/dpkg/status.d/';

/** A package in a file of its own, as images without dpkg keep it. */
const packed = (name: string, version: string) =>
  packFiles({
    [`${STATUS}${name}`]: `Package: ${name}\nStatus: install ok installed\nArchitecture: all\nVersion: ${version}\n`,
  });

const finding = (id: string, name: string, layer: StackLayer) => ({
  VulnerabilityID: id,
  PkgName: name,
  InstalledVersion: '1.0',
  FixedVersion: '1.1',
  Layer: { DiffID: layerDigest(layer) },
  Severity: 'HIGH',
});

it('swaps what carries a fix, says what stays and why, and writes it down', async () => {
  await using rig = await StkRig.open();
  const oci = rig.path('oci');
  const [base, ssl, py, own] = [
    inRole(await packFiles({ 'etc/os-release': 'ID=debian\nVERSION_ID=12\n' }), 'base'),
    await packed('openssl', '1.0'),
    await packed('python', '1.0'),
    inRole(await packed('app', '1.0'), 'run'),
  ];
  await writeStack(oci, 'ssl', { layers: [base, inRole(ssl, 'run')] });
  await writeStack(oci, 'py', { layers: [base, inRole(py, 'run')] });
  await writeStack(oci, 'app', { layers: [base, ssl, py, own] });
  await writeStack(oci, 'base', { layers: [base] });
  await rig.ok(['adopt', 'app', '--base', 'base', '--apply', 'ssl', '--apply', 'py']);
  await writeStack(oci, 'ssl', { layers: [base, inRole(await packed('openssl', '1.2'), 'run')] });
  const Vulnerabilities = [
    finding('CVE-1', 'openssl', ssl),
    finding('CVE-2', 'python', py),
    finding('CVE-3', 'app', own),
  ];
  await rig.write('trivy.json', { SchemaVersion: 2, ArtifactName: 'app', Results: [{ Vulnerabilities }] });
  const before = await tagDigest(rig, 'app');
  const report = ['update', 'app', '--report', 'trivy.json'];
  const planned = await rig.stk([...report, '--dry-run', '--json']);
  expect(planned).toMatchObject({ exitCode: 13 });
  const told = JSON.parse(planned.stdout) as { findings: { id: string; status: string }[]; updates: object[] };
  expect(told.findings.map(({ id, status }) => `${id} ${status}`)).toEqual([
    'CVE-1 fixed',
    'CVE-2 affected',
    'CVE-3 affected',
  ]);
  expect(told.updates).toMatchObject([{ outcome: 'would-update' }]);
  expect(await tagDigest(rig, 'app')).toBe(before);
  const done = await rig.stk([...report, '--vex', 'vex.json']);
  expect(done).toMatchObject({ exitCode: 13 });
  expect(done.stdout).toMatch(
    /3 found, 1 fixed by newer parts, 2 stay\n[\s\S]*CVE-1 .*fixed by the new ssl\n.*py is on its newest version\n.*own layers/,
  );
  const vex = JSON.parse(await readFile(rig.path('vex.json'), 'utf8')) as {
    statements: { status: string; products: object[] }[];
  };
  expect(vex.statements.map(({ status }) => status)).toEqual(['fixed', 'affected', 'affected']);
  expect(vex.statements[0]?.products).toMatchObject([
    {
      '@id': expect.stringContaining(await tagDigest(rig, 'app')) as string,
      subcomponents: [{ '@id': expect.stringMatching(/^pkg:deb\/debian\/openssl@1\.2/) as string }],
    },
  ]);
  expect(await rig.stk(['update', 'app', '--report', 'vex.json'])).toMatchObject({ exitCode: 9 });
});
