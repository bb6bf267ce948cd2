import { expect, it } from 'vitest';
import { adaptProgress } from './stacker-options.ts';

it.each([
  ['--progress build', '--progress=auto build'],
  ['--progress recursive-build -d x', '--progress=auto recursive-build -d x'],
  ['build --progress', 'build --progress=auto'],
  ['build --progress -f x', 'build --progress=auto -f x'],
  ['--progress plain build', '--progress plain build'],
  ['build --progress json app', 'build --progress json app'],
  ['--progress loud build', '--progress loud build'],
  ['--progress=json build', '--progress=json build'],
  ['--progress', '--progress=auto'],
  ['run app -- tool --progress x', 'run app -- tool --progress x'],
])('%s is %s', (args, meant) => {
  expect(adaptProgress(args.split(' '), ['build', 'recursive-build', 'run']).join(' ')).toBe(meant);
});
