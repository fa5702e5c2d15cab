// Applies a JSON Patch (RFC 6902) with the operations that a webhook's answer needs: add, remove, replace, test.

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

/**
 * @returns the patched document
 * @throws Error where the API server would refuse the patch
 */
export function applyPatch(document: unknown, patch: readonly Operation[]): unknown {
  const result = structuredClone(document);
  for (const each of patch) applyOne(result, each);
  return result;
}

function applyOne(document: unknown, { op, path, value }: Operation): void {
  const keys = path
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = keys.pop() ?? "";
  const parent = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document);
  if (typeof parent !== "object" || parent === null) throw new Error(`${path}: nothing is there`);
  const isAdd = op === "add";
  if (Array.isArray(parent)) {
    const index = last === "-" && isAdd ? parent.length : Number(last);
    if (!(index >= 0 && index < parent.length + (isAdd ? 1 : 0))) throw new Error(`${path}: no such member`);
    parent.splice(index, isAdd ? 0 : 1, ...(op === "remove" ? [] : [structuredClone(value)]));
    return;
  }
  const object = parent as Record<string, unknown>;
  if (!isAdd && !(last in object)) throw new Error(`${path}: no such member`);
  if (op === "test") {
    if (JSON.stringify(object[last]) !== JSON.stringify(value)) throw new Error(`${path}: is another value`);
  } else if (op === "remove") delete object[last];
  else object[last] = structuredClone(value);
}
