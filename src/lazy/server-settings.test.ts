import { expect, it } from 'vitest';
import { hostText } from '../core/host-text.ts';
import type { AbsPath } from '../core/paths.ts';
import { KEPT_DEVICES } from '../host/fuse/keep-server.ts';
import { keptName, readServerEnvironment, serverEnvironment } from './server-settings.ts';

const settings = { socket: '/s/server.sock' as AbsPath, inode: 7, log: '/s/server.log' as AbsPath, idleMs: 10 };

it.each(['/run/a.json', '/with space/=%', '/ü€', hostText(Buffer.from('/caf\xe9/\xff', 'latin1'))])(
  'a server finds the device of %j that one before it had',
  stateFile => {
    const environment = {
      ...serverEnvironment(settings),
      [KEPT_DEVICES]: `${keptName(stateFile)}=9 ${keptName('/b')}=10`,
    };
    const { settings: found, taken } = readServerEnvironment(environment);
    expect(found).toEqual(settings);
    expect([...taken.devices]).toEqual([
      [stateFile, 9],
      ['/b', 10],
    ]);
  },
);
