const MOST_CHARACTERS = 63;

/** The nearest name that a host can have (hostname(7)) to a text, such as a tag; `otherwise` where nothing of it is left. */
export function hostnameLike(text: string, otherwise: string): string {
  const name = text.replace(/[^A-Za-z0-9.-]+/g, '-').slice(0, MOST_CHARACTERS);
  return name.replace(/^[.-]+|[.-]+$/g, '') || otherwise;
}
