// The result of an import: a policy, and notes on what a person has to check.
export interface Imported {
  readonly from: string;
  /** The policy document, as people write it. */
  readonly policy: Readonly<Record<string, unknown>>;
  /** What could not be carried over, or has another meaning here: one sentence each, with its place. */
  readonly notes: readonly string[];
  /** Settings that the sidecar needs for this policy. */
  readonly settings: Readonly<Record<string, string>>;
}

/** The file cannot be understood; nothing is imported. */
export class ImportError extends Error {
  override readonly name = "ImportError";
}

export type Members = Readonly<Record<string, unknown>>;

export function membersOf(value: unknown): Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Members) : {};
}

export function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === undefined || value === null ? [] : [value];
}

export function textsOf(value: unknown): string[] {
  return listOf(value).filter((each): each is string => typeof each === "string");
}

/** Whether a setting differs from an unset one: exports write those out, too. */
export function saysSomething(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === "") return false;
  if (typeof value !== "object") return true;
  return Object.values(value).some((each) => saysSomething(each));
}

export function withoutEndSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === "/") end -= 1;
  return path.slice(0, end);
}
