// Describes policies that are declared outside of Redis: files of a folder, ConfigMaps, OutriggerPolicy objects.
import type { PolicyFormat } from "../policy/document/parse.ts";

/** What happens to a service's layer that is no longer declared. */
export type WhenGone = "keep" | "remove";

export interface Declared {
  /** Unique name for people: `policy.users.yaml`, `OutriggerPolicy demo/users`. */
  readonly origin: string;
  /** Which state of its object was read, where that can change before its outcome is reported. */
  readonly version?: string;
  /** The service whose layer it is; undefined = the shared policy. */
  readonly service: string | undefined;
  readonly bytes: Uint8Array;
  readonly format: PolicyFormat;
  /** The reason for the history. */
  readonly reason: string;
  readonly whenGone: WhenGone;
  /** Why it is not a document; it still claims its place. */
  readonly flaw?: string | undefined;
}

const ending = /\.(ya?ml|json|jws)$/i;

/**
 * Parses the name of a file or of a ConfigMap's key: `policy.yaml` is the shared policy, `policy.users.yaml` the layer
 * of the service users; .yml, .json and .jws work as well.
 * @returns undefined for any other name
 */
export function placeOf(
  name: string,
): { readonly service: string | undefined; readonly format: PolicyFormat } | undefined {
  const end = ending.exec(name)?.[1]?.toLowerCase();
  if (end === undefined) return undefined;
  const stem = name.slice(0, -end.length - 1);
  const format = end === "json" ? "json" : end === "jws" ? "any" : "yaml";
  if (stem === "policy") return { service: undefined, format };
  if (!stem.startsWith("policy.") || stem.length === "policy.".length) return undefined;
  return { service: stem.slice("policy.".length), format };
}

const alike = /^[^.].*\.(ya?ml|json|jws)$/i;

/** Whether the name looks like a mistyped policy. */
export const isLikePolicy = (name: string): boolean => placeOf(name) === undefined && alike.test(name);

/** @returns a text about names that look mistyped, so that somebody notices them; "" when there are none */
export function leftOut(names: readonly string[]): string {
  if (names.length === 0) return "";
  const shown = names.slice(0, 5).join(", ");
  return `not taken, since they are called neither policy.yaml nor policy.<service>.yaml: ${shown}${names.length > 5 ? " and more" : ""}`;
}

/** Sorts the shared policy first, since layers are checked over it, then layers by service. */
export function inOrder(declared: readonly Declared[]): Declared[] {
  const key = ({ service }: Declared): string => (service === undefined ? "" : `:${service}`);
  return declared.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

export const placeName = (service: string | undefined): string =>
  service === undefined ? "the shared policy" : `the layer of ${service}`;
