import { digestHex } from '../../../core/digest.ts';
import { missingForDevice } from '../../../host/device-node.ts';
import { findTool } from '../../../host/find-tool.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import { parseFarPlace } from '../../../lazy/far-place.ts';
import type { Session } from '../../session.ts';
import type { FilesToServe, VerifiedFiles } from '../../../mount/verified-files.ts';

/** After SIGTERM: how long those who still read are served. */
const DRAIN_MS = 5000;

/** Verification in user space by a process of this very program, run as `stk serve`, which this user's mounts share. */
export function verifiedFilesOf({ self, version, build }: Pick<Session, 'self' | 'version' | 'build'>): VerifiedFiles {
  return {
    missing,
    async serve(files, signal) {
      const { startServer } = await import('../../../lazy/start-server.ts');
      const program = { command: [...self, 'serve'], build: `${version} ${build}` };
      await startServer(specOf(files), { ...program, ...(signal && { signal }) });
    },
  };
}

async function missing(): Promise<string | undefined> {
  const device = await missingForDevice('/dev/fuse');
  if (device !== undefined) return device;
  if ((await readPrivileges()).canMount) return undefined;
  return (await findTool('fusermount3')) === undefined ? 'fusermount3 is not installed' : undefined;
}

/** Whoever reads the files, the mounts of the layers, is of the same user as the server. */
function specOf({ layers, directory, logFile, stateFile }: FilesToServe) {
  const blobs = layers.map(({ digest, file, sizeBytes, verityRoot, far }) => {
    const blob = { name: digestHex(digest), path: file, digest, sizeBytes, verityRoot };
    return far === undefined ? blob : { ...blob, far: parseFarPlace(far) };
  });
  return { target: directory, blobs, logFile, stateFile, allowOther: false, drainMs: DRAIN_MS };
}
