// Entries for tests: one of given facts, and one as the plugin makes it of an answer of the service.
import { parseResponseDirectives } from "../../../plugins/cache/semantics/directives.ts";
import { storedFields } from "../../../plugins/cache/semantics/storing.ts";
import { noNames } from "../../../plugins/cache/semantics/vary.ts";
import type { Entry } from "../../../plugins/cache/store/entry.ts";
import { StoredEntry } from "../../../plugins/cache/store/stored-entry.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";

const plain: Entry = {
  url: "u",
  partition: "",
  status: 200,
  fields: [],
  body: "",
  etag: undefined,
  lastModified: undefined,
  dateMs: 0,
  bornAt: 0,
  requestedAt: 0,
  freshUntil: 1,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: 0,
  mayServeStale: true,
  alwaysValidate: false,
  immutable: false,
  forAnyone: false,
  implicit: false,
  vary: noNames,
  varyValues: noNames,
  tags: noNames,
  forwardedDiff: undefined,
};

/** @param facts in which it differs from an answer without anything */
export function entryOf(facts: Partial<Entry>): StoredEntry {
  const entry = { ...plain, ...facts };
  return new StoredEntry(entry, entry.body, entry.forwardedDiff);
}

/** Strings as a parser makes them: parts of one longer one. */
function receivedFields(index: number, bodyBytes: number): string[] {
  const lines = [
    "Content-Type: text/plain",
    "Cache-Control: max-age=600",
    `Date: Sun, 22 Nov 2026 08:41:${String(index % 60).padStart(2, "0")} GMT`,
    `ETag: "${String(index).padStart(16, "0")}"`,
    `Content-Length: ${bodyBytes}`,
  ];
  const head = Buffer.from(lines.join("\r\n")).toString("latin1");
  return head.split("\r\n").flatMap((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

/** As each answer to a GET of a catalogue makes one. */
export function receivedEntry(index: number, body: Buffer): StoredEntry {
  const fields = new Fields(receivedFields(index, body.length));
  const bornAt = 1_795_336_860_000.5 + index;
  const facts = {
    url: Buffer.from(`127.0.0.1:3000 http://127.0.0.1:8080/catalog/item-${index}?v=1`).toString("latin1"),
    fields: storedFields(fields, parseResponseDirectives("max-age=600"), [], 0),
    body,
    etag: fields.get("etag"),
    dateMs: 1_795_336_860_000 + (index % 60) * 1_000,
    bornAt,
    requestedAt: bornAt - 10.25,
    freshUntil: bornAt + 600_000,
    forAnyone: true,
  };
  return entryOf(facts);
}
