import { findTool } from '../host/find-tool.ts';
import { canAccess, readPrivileges } from '../host/privileges.ts';
import { missingForDmVerity } from '../host/tools/dm-verity.ts';
import type { HostAbilities } from './choose-method.ts';
import type { VerifiedFiles } from './verified-files.ts';

const LOOP_CONTROL = '/dev/loop-control';
const FUSE_TOOLS = ['squashfuse_ll', 'fuse-overlayfs', 'fusermount3'] as const;

/** Looks at what this host offers for mounting. Nothing is tried that could leave a trace. */
export async function probeHost(verifiedFiles: VerifiedFiles | undefined): Promise<HostAbilities> {
  const [privileges, loop, dm, user, fuseDevice, tools] = await Promise.all([
    readPrivileges(),
    canAccess(LOOP_CONTROL, 'read-write'),
    missingForDmVerity(),
    verifiedFiles ? verifiedFiles.missing() : 'no verified file server in this program',
    canAccess('/dev/fuse', 'read-write'),
    Promise.all(FUSE_TOOLS.map(async tool => ((await findTool(tool)) === undefined ? [tool] : []))),
  ]);
  return {
    privileges,
    missingForLoop: loop ? undefined : `there are no loop devices (${LOOP_CONTROL} is absent)`,
    missingForDmVerity: dm,
    missingForUserVerity: user,
    fuseDevice,
    missingTools: tools.flat(),
  };
}
