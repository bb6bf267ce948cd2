import { access } from '../../../host/files.ts';
import { findTool, installHint } from '../../../host/find-tool.ts';
import { missingForDevice } from '../../../host/device-node.ts';
import { missingForDmVerity } from '../../../host/tools/dm-verity.ts';
import { PackedRecord } from '../../../layer/packed-record.ts';
import { readPrivileges, unfitForUpper, type Privileges } from '../../../host/privileges.ts';
import { runTool } from '../../../host/exec.ts';
import { missingForSystemCalls } from '../../../host/syscalls/native.ts';
import { planNamespaces } from '../../../sandbox/enter-namespaces.ts';
import { namespaceMend } from '../../../sandbox/namespace-mend.ts';
import { EXIT } from '../../exit-status.ts';
import type { Session } from '../../session.ts';
import path from 'node:path';
import { messageOf } from '../../../core/errors.ts';
import type { AbsPath } from '../../../core/paths.ts';
import { jsonText } from '../../ui/json-text.ts';

interface Finding {
  readonly name: string;
  readonly ok: boolean;
  /** Without it `stk build` cannot work; otherwise something is slower or missing at the edges. */
  readonly required: boolean;
  readonly detail: string;
  readonly mend?: string;
}

/** `stk check`. */
export async function runCheck(session: Session, flags: { readonly json?: boolean }): Promise<number> {
  const privileges = await readPrivileges();
  const findings = [
    ...(await tools(privileges)),
    systemCalls(),
    ...(await ids(privileges)),
    await namespaces(privileges),
    await fuse(privileges),
    ...(await kernelMounts(privileges)),
    await stateFilesystem(session),
  ];
  const failed = findings.filter(finding => finding.required && !finding.ok);
  if (flags.json) session.stdout.write(`${jsonText({ ok: failed.length === 0, findings })}\n`);
  else {
    for (const finding of findings) {
      const mark = finding.ok ? 'ok     ' : finding.required ? 'MISSING' : 'absent ';
      session.stdout.write(`${mark}  ${finding.name}: ${finding.detail}\n`);
      if (!finding.ok && finding.mend !== undefined) session.stdout.write(`         mend: ${finding.mend}\n`);
    }
    session.stdout.write(failed.length === 0 ? 'this host can build\n' : `${failed.length} missing\n`);
  }
  return failed.length === 0 ? EXIT.ok : EXIT.capability;
}

async function tools(privileges: Privileges): Promise<Finding[]> {
  const rootless = privileges.uid !== 0 || !privileges.initialUserNamespace;
  const wanted: (readonly [string, string, boolean])[] = [
    ['mksquashfs', 'packs layers', true],
    ['tar2sqfs', 'converts tar layers', true],
    ['sqfs2tar', 'writes tar layers', false],
    ['bwrap', 'runs steps', true],
    ['perl', 'starts bwrap with nothing left of the caller', true],
    ['unshare', 'enters namespaces', true],
    ['setpriv', 'ties namespaces to this program', true],
    ['squashfuse_ll', 'mounts layers for ordinary users, and for root those that were not packed here', rootless],
    ['newuidmap', 'maps a range of ids for ordinary users', rootless],
    ['fuse-overlayfs', 'mounts images for a whole login session without root', false],
    ['zstd', 'reads zstd tars', false],
    ['git', 'records the commit of a recipe', false],
  ];
  return Promise.all(
    wanted.map(async ([name, use, required]) => {
      const found = await findTool(name);
      const finding = { name, ok: found !== undefined, required, detail: `${use}${found ? ` (${found})` : ''}` };
      return found ? finding : { ...finding, mend: installHint(name) };
    }),
  );
}

function systemCalls(): Finding {
  const { reason, mend } = missingForSystemCalls() ?? {};
  const detail = reason ?? 'locks, mounts and attributes go through the C library';
  return { name: 'system calls', ok: reason === undefined, required: true, detail, ...(mend && { mend }) };
}

async function ids(privileges: Privileges): Promise<Finding[]> {
  if (privileges.uid === 0 && privileges.canMount) return [];
  const user = privileges.userName ?? String(privileges.uid);
  const count = privileges.subordinateIds;
  return [
    {
      name: 'subordinate ids',
      ok: count >= 65_535,
      required: false,
      detail: `${user} has ${count} in /etc/subuid and /etc/subgid; without 65535, chown to other users fails in steps`,
      mend: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${user}`,
    },
  ];
}

/** Tries the real thing, so that sysctls, AppArmor and seccomp all count. */
async function namespaces(privileges: Privileges): Promise<Finding> {
  const plan = await planNamespaces(privileges);
  const name = plan.rootless ? 'user namespace' : 'mount namespace';
  const command = ['--pid', '--fork', '--mount-proc', '--', 'true'];
  try {
    await runTool('unshare', [...plan.namespaces, ...command]);
    return { name, ok: true, required: true, detail: plan.rootless ? 'can be entered' : 'can be entered as root' };
  } catch (error) {
    return { name, ok: false, required: true, detail: messageOf(error), mend: await namespaceMend() };
  }
}

async function fuse(privileges: Privileges): Promise<Finding> {
  const required = privileges.uid !== 0 || !privileges.initialUserNamespace;
  const missing = await missingForDevice('/dev/fuse');
  const detail = missing ?? '/dev/fuse can be opened';
  const mend = 'sudo modprobe fuse; sudo chmod 0666 /dev/fuse';
  return { name: 'FUSE', ok: missing === undefined, required, detail, mend };
}

/** What root's mounts of layers that were packed here use. Without any of it they go through FUSE, or are checked by stk. */
async function kernelMounts(privileges: Privileges): Promise<Finding[]> {
  if (privileges.uid !== 0 || !privileges.initialUserNamespace) return [];
  const loop = await missingForDevice('/dev/loop-control');
  const verity = await missingForDmVerity();
  const record = await new PackedRecord().problem();
  const finding = (name: string, use: string, missing: string | undefined, mend: string): Finding => {
    return { name, ok: missing === undefined, required: false, detail: missing ?? use, mend };
  };
  return [
    finding('loop devices', 'the kernel can mount layers', loop, 'modprobe loop'),
    finding('dm-verity', 'the kernel can check layers while they are read', verity, 'modprobe dm_mod dm_verity'),
    finding(
      'record of packed layers',
      'only root can write it',
      record,
      'chown root: /var/lib/stk && chmod go-w /var/lib/stk',
    ),
  ];
}

async function stateFilesystem(session: Session): Promise<Finding> {
  let directory: string = session.global.stkDir;
  while (
    !(await access(directory).then(
      () => true,
      () => false,
    )) &&
    directory !== '/'
  )
    directory = path.dirname(directory);
  const unfit = await unfitForUpper(directory as AbsPath);
  return {
    name: 'work directory',
    ok: unfit === undefined,
    required: true,
    detail: unfit === undefined ? `${directory} can hold an overlay` : `${directory} is on ${unfit}, which cannot`,
    mend: 'give a directory on a local disk or tmpfs with --stk-dir',
  };
}
