// Parses a selection of HTTP statuses.

const part = /^([1-5])xx$|^([1-5]\d\d)(?:-([1-5]\d\d))?$/;

/**
 * @param text `5xx`, `404`, `400-499`, or several with commas.
 * @returns a test for a status; undefined when the text is malformed
 */
export function parseStatuses(text: string): ((status: unknown) => boolean) | undefined {
  const ranges: (readonly [number, number])[] = [];
  for (const each of text.split(",")) {
    const [, hundred, from, to] = part.exec(each.trim()) ?? [];
    if (hundred !== undefined) ranges.push([Number(hundred) * 100, Number(hundred) * 100 + 99]);
    else if (from !== undefined) ranges.push([Number(from), Number(to ?? from)]);
    else return undefined;
  }
  return (status) =>
    typeof status === "number" && ranges.some(([low, high]) => low <= status && status <= high);
}
