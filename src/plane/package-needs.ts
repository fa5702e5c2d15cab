// What a package asks for, in words: for whoever decides whether it gets that.
import type { Needs } from "../extensions/manifest.ts";

type Row = readonly [what: string, which: string];

const list = (what: string, values: readonly string[]): readonly Row[] =>
  values.length === 0 ? [] : [[what, values.includes("*") ? "all" : values.join(", ")]];

const number = (what: string, value: number | undefined, unit: string): readonly Row[] =>
  value === undefined ? [] : [[what, `${value} ${unit}`]];

/** @returns what it asks for and how much of it; none of what it does not ask for */
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
