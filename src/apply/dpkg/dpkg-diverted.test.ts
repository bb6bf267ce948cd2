import { describe, expect, it } from 'vitest';
import { Layers, merge, sides, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { dpkg } from './dpkg.ts';

const layers = new Layers();

const diversions = (...entries: readonly (readonly [string, string, string])[]) => ({
  'var/lib/dpkg/diversions': entries.map(entry => `${entry.join('\n')}\n`).join(''),
});
const lists = (name: string, ...paths: readonly string[]) => ({
  [`var/lib/dpkg/info/${name}.list`]: paths.map(path => `${path}\n`).join(''),
});

async function merged(base: LayerContent, ...own: readonly LayerContent[]) {
  const { tree, conflicts, settled } = await merge(
    await layers.applied([base], sides(...own.map(content => [content]))),
    [dpkg],
  );
  const files = Object.entries(tree).filter(([path, text]) => text.startsWith('file') && !path.startsWith('var/'));
  return { files: Object.fromEntries(files.map(([path, text]) => [path, text.split('"')[1]])), conflicts, settled };
}

const HELP = '/doc/help';
const VIM = [HELP, `${HELP}.vim-tiny`, 'vim'] as const;
const vim = { ...diversions(VIM), ...lists('vim', HELP), 'doc/help': 'long' };
const tiny = { ...lists('vim-tiny', HELP), 'doc/help': 'short' };
const BASE = { 'etc/x': '' };
const APART = { 'etc/x': '', 'doc/help': 'long', 'doc/help.vim-tiny': 'short' };

describe('a file that another image diverts', () => {
  it.each<[string, readonly [LayerContent, LayerContent]]>([
    ['before', [vim, tiny]],
    ['after', [tiny, vim]],
    ['after, with nothing in its place', [tiny, { ...vim, 'doc/help': null }]],
  ])('lies where the diversion points to, diverted %s', async (name, own) => {
    const { files, conflicts, settled } = await merged(BASE, ...own);
    expect(conflicts).toEqual([]);
    const { 'doc/help': help, ...rest } = APART;
    expect(files).toEqual(name.includes('nothing') ? rest : { ...rest, 'doc/help': help });
    expect(settled).toContain('doc/help.vim-tiny: dpkg ' + (own[0] === tiny ? 'ssl' : 'python'));
  });

  it('lies there whatever another package of the base made of it', async () => {
    const base = { ...tiny, 'etc/x': '' };
    const moved = { ...vim, 'doc/help.vim-tiny': 'short' };
    expect((await merged(base, moved, { 'usr/x': '' })).files).toEqual({ ...APART, 'usr/x': '' });
    for (const own of [
      [moved, { 'doc/help': 'short 2' }],
      [{ 'doc/help': 'short 2' }, moved],
    ]) {
      expect((await merged(base, ...own)).files).toEqual({ ...APART, 'doc/help.vim-tiny': 'short 2' });
    }
    expect((await merged(base, moved, { 'doc/help': null, ...lists('vim-tiny') })).files).toEqual({
      'etc/x': '',
      'doc/help': 'long',
    });
  });

  it('is found behind a symlink on the way to it', async () => {
    const base = { bin: { link: 'usr/bin' }, 'usr/bin/x': '' };
    const dash = diversions(['/bin/sh', '/bin/sh.distrib', 'dash']);
    const { files } = await merged(base, { ...lists('bash', '/bin/sh'), 'usr/bin/sh': 'bash' }, dash);
    expect(files).toEqual({ 'usr/bin/sh.distrib': 'bash', 'usr/bin/x': '' });
  });

  it('moves with its mode and in all three of three images', async () => {
    const other = { ...lists('vim-nox', HELP), 'doc/help': 'short' };
    expect((await merged(BASE, tiny, vim, other)).files).toEqual(APART);
  });

  it.each<[string, readonly [LayerContent, LayerContent], Record<string, string>]>([
    [
      'of no package stays where it was put afterwards',
      [diversions(VIM), { 'doc/help': 'mine' }],
      { 'doc/help': 'mine' },
    ],
    [
      'of no package moves if it was there before',
      [{ 'doc/help': 'mine' }, vim],
      { ...APART, 'doc/help.vim-tiny': 'mine' },
    ],
    [
      'of the package that diverts stays',
      [{ ...lists('vim', HELP), 'doc/help': 'long' }, diversions(VIM)],
      { 'doc/help': 'long' },
    ],
    ['moves for the administrator', [tiny, diversions([HELP, '/doc/mine', ':'])], { 'doc/mine': 'short' }],
    ['that both divert stays', [{ ...vim, 'doc/help.vim-tiny': 'short' }, vim], APART],
    [
      'after which the list is cut off stays',
      [{ 'var/lib/dpkg/diversions': `${HELP}\n` }, tiny],
      { 'doc/help': 'short' },
    ],
    ['that nobody has is none', [diversions(VIM), { 'doc/more': '' }], { 'doc/more': '' }],
  ])('%s', async (_, own, wanted) => {
    const { files, conflicts } = await merged(BASE, ...own);
    expect(conflicts).toEqual([]);
    expect(files).toEqual({ 'etc/x': '', ...wanted });
  });

  it('comes back where an image took the diversion out', async () => {
    const base = { ...vim, ...lists('vim-tiny', HELP), 'doc/help.vim-tiny': 'short', 'etc/x': '' };
    const without = {
      'var/lib/dpkg/diversions': '',
      'var/lib/dpkg/info/vim.list': null,
      'doc/help': 'short',
      'doc/help.vim-tiny': null,
    };
    for (const own of [
      [without, { 'doc/help.vim-tiny': 'short 2' }],
      [{ 'doc/help.vim-tiny': 'short 2' }, without],
    ]) {
      const { files, conflicts } = await merged(base, ...own);
      expect(conflicts).toEqual([]);
      expect(files).toEqual({ 'etc/x': '', 'doc/help': 'short 2' });
    }
  });
});

it('reports a file in each of both places, and diversions to different ones', async () => {
  const both = { ...tiny, 'doc/help.vim-tiny': 'other' };
  expect((await merged(BASE, vim, both)).conflicts).toEqual([
    'doc/help: ssl diverts /doc/help to /doc/help.vim-tiny, and python has files of its own in both places',
  ]);
  const other = diversions([HELP, '/doc/other', 'emacs']);
  expect((await merged(BASE, vim, other)).conflicts).toEqual([
    'var/lib/dpkg/diversions: the diversion of /doc/help differs between ssl and python',
  ]);
});
