// Lists in words what one version of a package needs beyond another, for the person who decides whether it may have
// that.
import type { Manifest, Needs } from "../extensions/manifest.ts";

const nothing: Needs = {
  secrets: [],
  keys: [],
  hosts: [],
  readFields: [],
  writeFields: [],
  body: {},
  memoryMiB: 0,
};

/** @param before undefined = there was no version before: lists everything that `after` needs */
export function moreNeeds(before: Manifest | undefined, after: Manifest): readonly string[] {
  const old = before?.needs ?? nothing;
  const { secrets, keys, hosts, readFields, writeFields, body, database, memoryMiB } = after.needs;
  return [
    ...named(
      "secret",
      beyond(secrets, (name) => old.secrets.includes(name)),
    ),
    ...named(
      "key of the store",
      beyond(keys, (key) => old.keys.some((known) => covers(known, key))),
    ),
    ...named(
      "host",
      beyond(hosts, (host) => old.hosts.includes(host)),
    ),
    ...fields("reads", old.readFields, readFields),
    ...fields("writes", old.writeFields, writeFields),
    ...larger("request bodies up to", old.body.requestBytes, body.requestBytes, "bytes"),
    ...larger("response bodies up to", old.body.responseBytes, body.responseBytes, "bytes"),
    ...(database === undefined || database === old.database ? [] : [`the database of ${database}`]),
    ...larger("memory", old.memoryMiB, memoryMiB, "MiB"),
    ...weaker(before, after),
  ];
}

const beyond = (values: readonly string[], isKnown: (value: string) => boolean): readonly string[] =>
  values.filter((value) => !isKnown(value));

const named = (what: string, values: readonly string[]): string[] =>
  values.map((value) => `${what} ${value}`);

/** A key that ends in a colon stands for all keys that begin with it. */
const covers = (known: string, key: string): boolean =>
  known === key || (known.endsWith(":") && key.startsWith(known));

function fields(verb: string, before: readonly string[], after: readonly string[]): string[] {
  if (before.includes("*")) return [];
  if (after.includes("*")) return [`${verb} all header fields`];
  return beyond(after, (name) => before.includes(name)).map((name) => `${verb} the header field ${name}`);
}

function larger(what: string, before = 0, after = 0, unit: string): string[] {
  return after > before ? [`${what} ${after} ${unit}`] : [];
}

/** @returns the protections that the new version gives up */
function weaker(before: Manifest | undefined, after: Manifest): string[] {
  if (before === undefined) return [];
  if (before.security && !after.security) return ["to decide no more who gets in"];
  return before.failMode === "closed" && after.failMode === "open" ? ["to fail open"] : [];
}
