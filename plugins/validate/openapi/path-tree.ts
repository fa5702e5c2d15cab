// Matches paths against OpenAPI templates by segment; literals win over parameters (OpenAPI 3.1, Paths Object).

interface Node<Value> {
  readonly literals: Map<string, Node<Value>>;
  parameter: Node<Value> | undefined;
  value: Value | undefined;
}

const node = <Value>(): Node<Value> => ({ literals: new Map(), parameter: undefined, value: undefined });

export interface Found<Value> {
  readonly value: Value;
  /** The segments that stand for the parameters, undecoded, in order. */
  readonly parameters: readonly string[];
}

export class PathTree<Value> {
  readonly #root = node<Value>();

  /** @throws Error for a parameter that is only part of a segment, and for a template equal to an earlier one */
  add(template: string, value: Value): void {
    if (!template.startsWith("/")) throw new Error(`/paths: ${template} does not begin with /`);
    let at = this.#root;
    for (const segment of template.slice(1).split("/")) {
      if (/^\{[^{}]+\}$/.test(segment)) {
        at = at.parameter ??= node();
        continue;
      }
      if (/[{}]/.test(segment))
        throw new Error(`/paths: in ${template} a parameter is part of a segment, which is not read`);
      // Normalised as request paths are.
      const normal = new URL(`http://service/${segment}`).pathname.slice(1);
      const next = at.literals.get(normal) ?? node<Value>();
      at.literals.set(normal, next);
      at = next;
    }
    if (at.value !== undefined) throw new Error(`/paths: ${template} is another template's path`);
    at.value = value;
  }

  /** @param path normalised @returns undefined when no template matches; each node is visited at most once */
  find(path: string): Found<Value> | undefined {
    return find(this.#root, path.slice(1).split("/"), 0, []);
  }
}

function find<Value>(
  from: Node<Value>,
  segments: readonly string[],
  index: number,
  parameters: readonly string[],
): Found<Value> | undefined {
  const segment = segments[index];
  if (segment === undefined) return from.value === undefined ? undefined : { value: from.value, parameters };
  const literal = from.literals.get(segment);
  const found = literal && find(literal, segments, index + 1, parameters);
  if (found !== undefined || from.parameter === undefined || segment === "") return found;
  return find(from.parameter, segments, index + 1, [...parameters, segment]);
}
