// Compiles the changes of one direction into a tree of names, so that a body is walked once. All pointers refer to the
// body before any change.
import { isPolluting, pollutes, tokensOf } from "./pointer.ts";

/** The changes as policies write them. */
export interface Change {
  readonly add: Readonly<Record<string, unknown>>;
  readonly remove: readonly string[];
  readonly rename: Readonly<Record<string, string>>;
}

export interface Place {
  readonly children: Map<string, Place>;
  /** JSON text to put here. */
  value: string | undefined;
  isRemoved: boolean;
  /** The new name of this member. */
  renamed: string | undefined;
  /** Whether something is added below this place. */
  adds: boolean;
}

const place = (): Place => ({
  children: new Map(),
  value: undefined,
  isRemoved: false,
  renamed: undefined,
  adds: false,
});

const isSettled = ({ value, isRemoved }: Place): boolean => value !== undefined || isRemoved;

type Problem = { readonly path: readonly (string | number)[]; readonly message: string };

function enter(root: Place, pointer: string, adds: boolean): Place | string {
  const tokens = tokensOf(pointer);
  if (tokens === undefined) return "must be a JSON Pointer to a member (RFC 6901): /user/name";
  if (adds && tokens.some(isPolluting)) return "has a name that objects of JavaScript are changed by";
  let at = root;
  for (const token of tokens) {
    if (isSettled(at)) return "is below what is added or removed";
    at.adds ||= adds;
    let next = at.children.get(token);
    if (next === undefined) at.children.set(token, (next = place()));
    at = next;
  }
  return at;
}

/** Finds a name that an object would have twice after the changes that add or rename members. */
function clash(at: Place): string | undefined {
  const made = new Set<string>();
  for (const [name, child] of at.children) {
    const own = child.value !== undefined || child.adds ? [name] : [];
    for (const result of child.renamed === undefined ? own : new Set([child.renamed, ...own])) {
      if (made.has(result)) return result;
      made.add(result);
    }
  }
  for (const child of at.children.values()) {
    const found = clash(child);
    if (found !== undefined) return found;
  }
  return undefined;
}

type Put = (at: Place) => string | undefined;

const remove: Put = (at) => {
  at.isRemoved = true;
  return undefined;
};

const add =
  (value: unknown): Put =>
  (at) => {
    if (pollutes(value)) return "has a name that objects of JavaScript are changed by";
    at.value = JSON.stringify(value);
    return at.value === undefined ? "is no JSON" : undefined;
  };

const rename =
  (name: string): Put =>
  (at) => {
    if (isPolluting(name)) return "is a name that objects of JavaScript are changed by";
    at.renamed = name;
    return undefined;
  };

/** @returns the tree, or the problems with the options */
export function compileChanges(change: Change): Place | readonly Problem[] {
  const root = place();
  const problems: Problem[] = [];
  const put = (path: readonly (string | number)[], pointer: string, adds: boolean, what: Put): void => {
    const at = enter(root, pointer, adds);
    const isTaken = typeof at !== "string" && (isSettled(at) || at.renamed !== undefined);
    const taken = isTaken ? "is changed twice" : undefined;
    const message = typeof at === "string" ? at : (taken ?? what(at));
    if (message !== undefined) problems.push({ path, message });
    else if (typeof at !== "string" && isSettled(at) && at.children.size > 0)
      problems.push({ path, message: "is above what is changed" });
  };
  change.remove.forEach((pointer, i) => put(["remove", i], pointer, false, remove));
  for (const [pointer, name] of Object.entries(change.rename))
    put(["rename", pointer], pointer, false, rename(name));
  for (const [pointer, value] of Object.entries(change.add)) put(["add", pointer], pointer, true, add(value));
  const name = clash(root);
  if (name !== undefined)
    problems.push({ path: [], message: `makes the member ${JSON.stringify(name)} twice` });
  return problems.length > 0 ? problems : root;
}

export const changesNothing = (root: Place): boolean => root.children.size === 0;
