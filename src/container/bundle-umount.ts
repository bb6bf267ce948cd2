import { isStkError } from '../core/errors.ts';
import { joinInside } from '../core/paths.ts';
import { umountImage, type Unmounted, type UmountRequest } from '../mount/umount-image.ts';

/** Unmounts an image by its target, or by the bundle whose `rootfs` it is. Throws what `umountImage` throws. */
export async function umountBundle(request: UmountRequest): Promise<Unmounted> {
  try {
    return await umountImage(request);
  } catch (error) {
    if (!isStkError(error, 'not-found')) throw error;
    const target = joinInside(request.target, 'rootfs');
    return await umountImage({ ...request, target }).catch((second: unknown) => {
      throw isStkError(second, 'not-found') ? error : second;
    });
  }
}
