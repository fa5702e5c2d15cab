// Lists in words what a package needs, for the person who decides whether it may have that.
import type { Needs } from "../extensions/manifest.ts";

type Row = readonly [what: string, which: string];

const list = (what: string, values: readonly string[]): readonly Row[] =>
  values.length === 0 ? [] : [[what, values.includes("*") ? "all" : values.join(", ")]];

const number = (what: string, value: number | undefined, unit: string): readonly Row[] =>
  value === undefined ? [] : [[what, `${value} ${unit}`]];

/** @returns each need and its amount; needs that the package does not have are left out */
export function needsOf(needs: Needs): readonly Row[] {
  const {
    secrets,
    keys,
    hosts,
    readFields,
    writeFields,
    body,
    database,
    memoryMiB,
    timeMicros,
    httpCallsPerSecond,
  } = needs;
  return [
    ...list("secrets", secrets),
    ...list("keys of the store", keys),
    ...list("hosts it may call", hosts),
    ...number("calls to them", httpCallsPerSecond, "a second"),
    ...list("header fields it reads", readFields),
    ...list("header fields it writes", writeFields),
    ...number("request bodies up to", body.requestBytes, "bytes"),
    ...number("response bodies up to", body.responseBytes, "bytes"),
    ...list("database, by the secret", database === undefined ? [] : [database]),
    ...number("memory", memoryMiB, "MiB"),
    ...number("time a request", timeMicros, "µs"),
  ];
}
