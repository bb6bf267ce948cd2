import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { requires } from '../../test/rig/gates.ts';
import { self } from '../../test/rig/users.ts';
import { missingForDevice } from './device-node.ts';

requires('root');

it('opens what it is asked about', async context => {
  context.skip(self.uid !== 0, 'device nodes are made in this process');
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-device-'));
  try {
    const [works, dead] = ['works', 'dead'].map(name => path.join(scratch, name)) as [string, string];
    execFileSync('mknod', [works, 'c', '1', '3']);
    // Of the numbers that are set aside for experiments (kernel, admin-guide/devices.txt).
    execFileSync('mknod', [dead, 'c', '240', '77']);
    expect(await missingForDevice(works)).toBeUndefined();
    expect(await missingForDevice(dead)).toMatch(/no driver/);
    expect(await missingForDevice(path.join(scratch, 'absent'))).toMatch(/is absent/);
    expect(await missingForDevice(scratch)).toMatch(/cannot be opened/);
  } finally {
    await rm(scratch, { recursive: true });
  }
});
