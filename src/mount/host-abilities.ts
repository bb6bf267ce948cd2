import { findTool } from '../host/find-tool.ts';
import { missingForDevice } from '../host/device-node.ts';
import { readPrivileges } from '../host/privileges.ts';
import { missingForDmVerity } from '../host/tools/dm-verity.ts';
import type { HostAbilities } from './choose-method.ts';
import type { VerifiedFiles } from './verified-files.ts';

const LOOP_CONTROL = '/dev/loop-control';
const FUSE_DEVICE = '/dev/fuse';
const FUSE_TOOLS = ['squashfuse_ll', 'fuse-overlayfs', 'fusermount3'] as const;

/** Looks at what this host offers for mounting: devices are opened, and nothing is tried that could leave a trace. */
export async function probeHost(verifiedFiles: VerifiedFiles | undefined): Promise<HostAbilities> {
  const [privileges, loop, dm, user, fuse, tools] = await Promise.all([
    readPrivileges(),
    missingForDevice(LOOP_CONTROL),
    missingForDmVerity(),
    verifiedFiles ? verifiedFiles.missing() : 'no verified file server in this program',
    missingForDevice(FUSE_DEVICE),
    Promise.all(FUSE_TOOLS.map(async tool => ((await findTool(tool)) === undefined ? [tool] : []))),
  ]);
  return {
    privileges,
    missingForLoop: loop === undefined ? undefined : `there are no loop devices: ${loop}`,
    missingForDmVerity: dm,
    missingForUserVerity: user,
    missingForFuse: fuse,
    missingTools: tools.flat(),
  };
}
