/**
 * Brings two versions of a colon-separated list of directories together: what the image took away or put in of the old
 * list is taken away and put in of the base's new one. What the image put before or behind all of the old list stands
 * there again, anything else behind the directory that it stood behind. Never a clash.
 */
export function mergeSearchPath(before: string, base: string, image: string): string {
  const [was, now, own] = [elements(before), elements(base), elements(image)];
  const merged = now.filter(each => own.includes(each) || !was.includes(each));
  const end = own.findLastIndex(each => was.includes(each));
  let at = 0;
  for (const [index, each] of own.entries()) {
    if (end >= 0 && index === end + 1) at = merged.length;
    const place = merged.indexOf(each);
    if (place >= 0) at = Math.max(at, place + 1);
    else if (!was.includes(each)) merged.splice(at++, 0, each);
  }
  return merged.join(':');
}

function elements(list: string): readonly string[] {
  return list === '' ? [] : list.split(':');
}
