// Path templates of an OpenAPI document, segment by segment: those without a parameter come first (OpenAPI 3.1, Paths Object).

interface Node<Value> {
  readonly literals: Map<string, Node<Value>>;
  parameter: Node<Value> | undefined;
  value: Value | undefined;
}

const node = <Value>(): Node<Value> => ({ literals: new Map(), parameter: undefined, value: undefined });

export interface Found<Value> {
  readonly value: Value;
  /** What stands for the parameters, as it is in the path. */
  readonly parameters: readonly string[];
}

export class PathTree<Value> {
  readonly #root = node<Value>();

  /** @throws Error for a template with a parameter that is no whole segment, or that is there already */
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
      // As request paths are normalised.
      const normal = new URL(`http://service/${segment}`).pathname.slice(1);
      const next = at.literals.get(normal) ?? node<Value>();
      at.literals.set(normal, next);
      at = next;
    }
    if (at.value !== undefined) throw new Error(`/paths: ${template} is another template's path`);
    at.value = value;
  }

  /** Looks at each node once at most. */
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
