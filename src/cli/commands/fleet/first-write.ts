/** A stream before whose first bytes others are written: nothing where nothing is written at all. */
export interface FirstWrite {
  readonly stream: NodeJS.WriteStream;
  readonly isWritten: () => boolean;
}

/** @param first called once, with the first write */
export function beforeFirstWrite(stdout: NodeJS.WriteStream, first: () => string): FirstWrite {
  let isWritten = false;
  const write = (...args: Parameters<NodeJS.WriteStream['write']>): boolean => {
    if (!isWritten) {
      isWritten = true;
      stdout.write(first());
    }
    return stdout.write(...args);
  };
  const stream = new Proxy(stdout, {
    get(target, name) {
      if (name === 'write') return write;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { stream, isWritten: () => isWritten };
}
