// Finds the paths by which an operation is asked for: its own, those behind prefixes that routes strip, and those of
// its paths that the policy names more closely.
import type { EffectivePolicy } from "../policy/read.ts";
import { textsIn } from "./callers.ts";
import type { Owners } from "./owners.ts";
import { closerExample, isOf, type Operation } from "./operation.ts";

export interface Form {
  /** Template of the path as clients write it. */
  readonly path: string;
  readonly example: string;
  /** The prefix that a route has to strip; undefined = none. */
  readonly prefix: string | undefined;
  /** Whether the policy has a pattern for this very path. */
  readonly closer: boolean;
}

/** Limit for one template: each costs up to three requests. */
const maxCloser = 50;

/** @param stripped whether clients may write a `stripPrefix` before the path @param owners of all operations */
export function formsOf(
  operation: Operation,
  policy: EffectivePolicy,
  stripped: boolean,
  owners: Owners,
): readonly Form[] {
  const { method, path, example } = operation;
  const prefixes = stripped ? prefixesIn(policy) : [];
  const behind = prefixes.map((prefix) => ({
    path: `${prefix}${path}`,
    example: `${prefix}${example}`,
    prefix,
  }));
  const patterns = patternsIn(policy);
  return [...behind, { path, example, prefix: undefined }].flatMap((form): Form[] => {
    if (!form.path.includes("{")) return [{ ...form, closer: false }];
    const found = patterns.flatMap((pattern) => closerExample({ ...operation, ...form }, pattern) ?? []);
    const own = (each: string): boolean => owners.isOwn(method, form.prefix ?? "", path, each);
    const closer = [...new Set(found)]
      .filter((each) => isOf(form.path, each) && own(each))
      .slice(0, maxCloser);
    return [{ ...form, closer: false }, ...closer.map((each) => ({ ...form, example: each, closer: true }))];
  });
}

const prefixesIn = ({ routes }: EffectivePolicy): readonly string[] => [
  ...new Set(routes.flatMap(({ stripPrefix }) => stripPrefix ?? [])),
];

/** @returns texts of the policy that could be path patterns, wherever they stand */
function patternsIn(policy: EffectivePolicy): readonly string[] {
  let known = patterns.get(policy);
  if (known === undefined) {
    const texts = policy.routes.flatMap(({ path, pluginConfig }) => [path, ...textsIn(pluginConfig)]);
    known = [...new Set(texts)].filter((text) => /^\/[^\s?#{}]+$/.test(text) && !/[*].|[^/][*]/.test(text));
    patterns.set(policy, known);
  }
  return known;
}

const patterns = new WeakMap<EffectivePolicy, readonly string[]>();
