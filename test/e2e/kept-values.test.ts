import { readFile, rm, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { packFiles, writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

/** Nothing in it is where, or as, a program that sorts and rounds would write it. */
const ODD = String.raw`"x":[1.0,12345678901234567890,null,{"b":1,"a":2}],"7":{"2":1e400,"1":0.10},"history":null`;
const CONFIG = String.raw`{"os":"linux",${ODD},"rootfs":{"diff_ids":DIFF_IDS,"type":"layers"},"config":{"Labels":{"b":"\u003c","10":"ten","9":"nine"},"Cmd":null,"Env":["B=1"],"Healthcheck":{"Test":["NONE"],"Interval":9007199254740993}},"architecture":"amd64"}`;
const INSIDE_CONFIG = String.raw`"Healthcheck":{"Test":["NONE"],"Interval":9007199254740993}`;

describe('an image on a base with an odd configuration', () => {
  requires('root', 'overlay');

  it('has the same bytes whenever it is built, and keeps every value of the base', async () => {
    await using rig = await StkRig.open();
    await writeStack(rig.path('bases'), 'odd', { layers: [await packFiles({ f: 'x' })], configText: CONFIG });
    await rig.write('stacker.yaml', {
      app: { from: 'oci:bases:odd', imports: [{ content: 'x', dest: '/y' }], labels: { z: '1' } },
    });
    const env = { SOURCE_DATE_EPOCH: '1700000000' };
    const first = await rig.ok(['build'], { env });
    expect(await rig.ok(['build', '--no-cache'], { env })).toBe(first);
    await rm(rig.path('oci'), { recursive: true });
    expect(await rig.ok(['build'], { env })).toBe(first);
    await rm(rig.path('.stk'), { recursive: true });
    expect(await rig.ok(['build', '--no-cache'], { env })).toBe(first);

    const index = JSON.parse(await readFile(rig.path('oci/index.json'), 'utf8')) as object;
    const odd = JSON.stringify(index).replace('{', '{"y":1.50,"2":null,"1":[1e3],');
    await writeFile(rig.path('oci/index.json'), odd);
    await rig.ok(['convert', 'oci:oci:app', 'oci:oci:app:tar', '--layer-type', 'tar']);
    await rig.write('up/new', 'x');
    await rig.ok(['commit', 'up', 'app:committed', '--base', 'app']);
    expect(await readFile(rig.path('oci/index.json'), 'utf8')).toMatch(/^\{"y":1\.50,"2":null,"1":\[1e3\],/);
    for (const tag of ['app', 'app:tar', 'app:committed']) {
      const text = await configText(rig, tag);
      expect(text.startsWith(`{"os":"linux",${ODD.replace(/,"history".*/, '')},"history":`), text).toBe(true);
      expect(text).toContain(INSIDE_CONFIG);
      expect(text).toContain(String.raw`"Labels":{"b":"\u003c","10":"ten","9":"nine","z":"1"}`);
    }
  });
});

async function configText(rig: StkRig, tag: string): Promise<string> {
  const blob = async (digest: string) => readFile(rig.path('oci/blobs/sha256', digest.slice(7)), 'utf8');
  const { manifests } = JSON.parse(await readFile(rig.path('oci/index.json'), 'utf8')) as {
    manifests: { digest: string; annotations: Record<string, string> }[];
  };
  const entry = manifests.find(({ annotations }) => annotations['org.opencontainers.image.ref.name'] === tag)!;
  return blob((JSON.parse(await blob(entry.digest)) as { config: { digest: string } }).config.digest);
}
