import { AsyncScope } from '../core/async-scope.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { stat } from '../host/files.ts';
import { readRegularFile } from '../host/open-regular-file.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { ArrivingBlob } from './arriving-blob.ts';

/** Bytes of a tar that are here or on their way; reading may start over, and fails unless they are right. */
export interface OpenTar extends AsyncDisposable {
  readonly read: () => AsyncIterable<Uint8Array>;
  readonly sizeBytes: number;
  /** Resolves when no byte is missing; throws what was wrong with them. */
  arrived(): Promise<void>;
}

/** A file that the caller has verified. */
export async function openTarFile(file: AbsPath): Promise<OpenTar> {
  const { size } = await stat(file);
  return lying(() => readRegularFile(file), size);
}

/** A blob that a store of this host has. */
export function openTarBlob(store: BlobStore, layer: Descriptor, signal: AbortSignal | undefined): OpenTar {
  return lying(() => store.readBlob(layer, signal ? { signal } : {}), layer.size);
}

function lying(read: () => AsyncIterable<Uint8Array>, sizeBytes: number): OpenTar {
  return { read, sizeBytes, arrived: async () => {}, [Symbol.asyncDispose]: async () => {} };
}

export interface ArrivingTarRequest {
  readonly store: BlobStore;
  readonly layer: Descriptor;
  /** Holds the bytes while they are needed, and takes them as a blob with `keep`. */
  readonly layout: LayoutStore;
  readonly keep: boolean;
  /** Runs the transfer where and when it may run. */
  readonly transfer: (
    work: (onProgress: (doneBytes: number) => void) => Promise<void>,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/** A blob of another store, read while it arrives. Returns when the first bytes are there. */
export async function openArrivingTar(request: ArrivingTarRequest): Promise<OpenTar> {
  const { store, layer, layout, keep, transfer, signal } = request;
  const scope = new AsyncScope();
  try {
    const file = joinInside(scope.use(await layout.makeTemp()).path, 'tar');
    const blob = await ArrivingBlob.start(
      file,
      layer.size,
      (receive, inner) =>
        transfer(async onProgress => {
          await receive(store.readBlob(layer, { signal: inner, onProgress }));
          if (keep) await layout.adoptBlob(file, layer);
        }, inner),
      signal,
    );
    scope.use(blob);
    await blob.begun();
    return {
      read: () => blob.read(signal),
      sizeBytes: layer.size,
      arrived: () => blob.arrived(),
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}
