/** 2 MiB. */
const MAX_PIECES = 32;

/** The last pieces of a blob, by their numbers, for what could not be kept on a disk. */
export class RecentPieces {
  readonly #pieces = new Map<number, Buffer>();

  find(piece: number): Buffer | undefined {
    const found = this.#pieces.get(piece);
    if (found) this.add(piece, found);
    return found;
  }

  add(piece: number, bytes: Buffer): void {
    this.#pieces.delete(piece);
    this.#pieces.set(piece, bytes);
    if (this.#pieces.size > MAX_PIECES) this.#pieces.delete(this.#pieces.keys().next().value!);
  }

  forget(piece: number): void {
    this.#pieces.delete(piece);
  }
}
