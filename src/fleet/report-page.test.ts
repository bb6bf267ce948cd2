import { createHash } from 'node:crypto';
import { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import type { ImageState } from './image-state.ts';
import { reportData } from './report-data.ts';
import { reportPage } from './report-page.ts';

const store = new MemoryStore();

function image(name: string, layers: readonly (readonly [content: string, size: number, role: string])[]): ImageState {
  const descriptors = layers.map(([content, size, role]): Descriptor => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: digestOf(content),
    size,
    annotations: { 'dev.stk.layer.role': role, ...(role === 'apply' && { 'dev.stk.apply.name': 'ssl' }) },
  }));
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(`c ${name}`), size: 1 };
  const held = digestOf('ssl 1');
  const part = { kind: 'apply', name: 'ssl', ref: 'ssl', held, now: digestOf('ssl 2'), newer: ['2'] } as const;
  return {
    ...{ name, store, tag: name, digest: digestOf(name), platform: undefined },
    manifest: { schemaVersion: 2, config, layers: descriptors },
    parts: [{ ...part, state: 'behind' }],
  };
}

const NAME = '</script><b>&"\u2028';
const images = [
  image('a', [
    ['base', 100, 'base'],
    ['ssl', 10, 'apply'],
    ['own a', 1, 'run'],
  ]),
  image(NAME, [
    ['base', 100, 'base'],
    ['own b', 5, 'run'],
    ['own b', 5, 'run'],
  ]),
];
const data = reportData(images, new Map(), { title: `Images of ${NAME}`, created: '2026-01-01T00:00:00Z' });

describe('the data of a report', () => {
  it('has each layer once, with what sharing saves', () => {
    expect(data.layers.map(({ held, name }) => [held, name])).toEqual([
      [2, ''],
      [1, 'ssl'],
      [1, ''],
      [1, ''],
    ]);
    expect(data.images.map(({ size, own, layers }) => [size, own, layers])).toEqual([
      [111, 11, [0, 1, 2]],
      [105, 5, [0, 3]],
    ]);
    expect(data.totals).toEqual({ apart: 216, shared: 116, behind: 2 });
  });
});

describe('the page of a report', () => {
  const page = reportPage(data);

  it('needs nothing from elsewhere, and forbids it', () => {
    expect(page).not.toMatch(/(?:src|href)\s*=|@import|url\(|https?:/);
    const policy = /Content-Security-Policy" content="([^"]+)"/.exec(page)![1]!;
    expect(policy).toMatch(/^default-src 'none';/);
    for (const [kind, text] of [
      ['style', /<style>([\s\S]*?)<\/style>/],
      ['script', /<script>([\s\S]*?)<\/script>/],
    ] as const) {
      const hash = createHash('sha256').update(text.exec(page)![1]!).digest('base64');
      expect(policy).toContain(`${kind}-src 'sha256-${hash}'`);
    }
  });

  it('holds names of images as text, whatever is in them', () => {
    const [, json = ''] = /<script type="application\/json" id="data">([\s\S]*?)<\/script>/.exec(page)!;
    expect(JSON.parse(json)).toEqual(data);
    expect(page.match(/<b>/g)).toHaveLength(4);
    expect(page).toContain('<title>Images of &lt;/script&gt;&lt;b&gt;&amp;&quot;');
  });

  it('has a script that is one', () => {
    const [, script = ''] = /<script>([\s\S]*?)<\/script>/.exec(page)!;
    expect(() => new Script(script)).not.toThrow();
    for (const [, id] of script.matchAll(/getElementById\('([a-z]+)'\)/g)) expect(page).toContain(`id="${id}"`);
  });

  it('is small for a thousand images', () => {
    const many = Array.from({ length: 1000 }, (_, index) =>
      image(`app-${index}`, [
        ['base', 1, 'base'],
        [`own ${index}`, 1, 'run'],
      ]),
    );
    expect(reportPage(reportData(many, new Map(), data)).length).toBeLessThan(1_000_000);
  });
});
