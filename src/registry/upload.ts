import { StkError, throwIfAborted } from '../core/errors.ts';
import { isTransient, problemOf } from '../host/transport-error.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { RegistrySession } from './session.ts';

import { Upload, type UploadOptions } from './upload-requests.ts';

/** Whether a registry has a blob; it may not be able to say so. */
export type Presence = 'present' | 'absent' | 'unknown';

export interface BlobToUpload {
  readonly descriptor: Descriptor;
  /** Opened again where an upload goes on after a dropped connection. */
  readonly open: () => AsyncIterable<Uint8Array>;
  /** Asks the registry. */
  readonly look: () => Promise<Presence>;
}

/**
 * Stores a blob (distribution-spec, "Pushing Blobs"): by cross-repository mount if there is one, else by an upload that
 * goes on after a dropped connection from the byte the registry has. Bytes are checked before the upload is ended, so
 * that wrong ones never become a blob.
 */
export async function uploadBlob(
  session: RegistrySession,
  { descriptor, open, look }: BlobToUpload,
  options: UploadOptions = {},
): Promise<void> {
  await using upload = new Upload(session, descriptor, open, options);
  if ((await upload.begin(options.mountFrom)) === 'mounted') return;
  const { patience } = upload;
  for (;;) {
    throwIfAborted(options.signal);
    const before = upload.offset;
    let problem: StkError;
    try {
      const broken = await upload.proceed();
      if (!broken) return await assertStored(upload, look, options.signal);
      problem = broken;
    } catch (error) {
      if (!isTransient(error)) await upload.cancel();
      if (!isTransient(error)) throw error;
      problem = error;
    }
    if (!(await patience.again(problemOf(problem), options.signal))) throw patience.over(problem);
    // The answer to the request that ended the upload may be what was lost.
    if (upload.offset === descriptor.size && (await look()) === 'present') return;
    await upload.recover();
    if (upload.offset > before) patience.renew();
  }
}

/**
 * Waits until the registry has a blob that it may have taken, but has not stored yet. Where it cannot say, that is no failure:
 * it looks for the blob itself when it is given a manifest.
 */
async function assertStored(
  upload: Upload,
  look: () => Promise<Presence>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (upload.isSure) return;
  const patience = upload.waitForStorage();
  do {
    if ((await look()) !== 'absent') return;
  } while (await patience.again('the registry took it, but does not have it yet', signal));
  throw new StkError('registry', `cannot ${upload.name}: the registry took it, but does not have it`, {
    hint: 'the registry may need longer to store it: try again later',
  });
}
