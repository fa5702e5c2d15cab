// An operation of a service: a method and a path whose `{parameters}` may be any segment.

export interface Operation {
  readonly method: string;
  /** `/users/{id}` */
  readonly path: string;
  /** A path of the operation to ask for. */
  readonly example: string;
}

const isOpen = (segment: string): boolean => segment.includes("{");
const segmentsOf = (path: string): readonly string[] => path.slice(1).split("/");

/** Whether the path matches the template. */
export function isOf(template: string, path: string): boolean {
  const [wanted, given] = [segmentsOf(template), segmentsOf(path)];
  return (
    wanted.length === given.length &&
    wanted.every((segment, at) => (isOpen(segment) ? given[at] !== "" : segment === given[at]))
  );
}

/** @returns the number of segments that may be any */
export const openness = (template: string): number => segmentsOf(template).filter(isOpen).length;

/**
 * Finds a path that the policy treats as a special case of the operation: it may name `/users/me` exactly, for example.
 * @param pattern a path pattern of the policy
 * @returns a path of the operation that the pattern names more closely than its example; undefined = there is none
 */
export function closerExample({ path, example }: Operation, pattern: string): string | undefined {
  const isPrefix = pattern.endsWith("/*");
  const named = segmentsOf(isPrefix ? pattern.slice(0, -2) : pattern);
  const [template, segments] = [segmentsOf(path), [...segmentsOf(example)]];
  if (isPrefix ? named.length > template.length : named.length !== template.length) return undefined;
  for (const [at, segment] of named.entries()) {
    const own = template[at] as string;
    if (!isOpen(own) && own !== segment) return undefined;
    if (isOpen(own)) segments[at] = segment;
  }
  const closer = `/${segments.join("/")}`;
  return closer === example ? undefined : closer;
}
