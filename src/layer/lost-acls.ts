/** So many are named. */
const MAX_NAMED = 5;

/** Files whose POSIX ACLs do not get into a layer. */
export class LostAcls {
  readonly #named: string[] = [];
  #count = 0;

  /** @param path for people */
  add(path: string): void {
    if (++this.#count <= MAX_NAMED) this.#named.push(path);
  }

  /** Says so, if there are any. */
  report(onWarning: ((text: string) => void) | undefined): void {
    if (this.#count === 0) return;
    const files = this.#count === 1 ? '1 file' : `${this.#count} files`;
    const more = this.#count > this.#named.length ? ` and ${this.#count - this.#named.length} more` : '';
    const what = `${files} lost the POSIX ACL, which squashfs cannot hold: ${this.#named.join(', ')}${more}`;
    onWarning?.(`${what}; owner, owning group and others keep their permissions`);
  }
}
