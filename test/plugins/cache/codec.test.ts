// Entries in Redis: a read returns what was written, and nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { BadRecord, decodeRecord, encodeEntry, encodeVary } from "../../../plugins/cache/store/codec.ts";
import { type Entry, factsOf } from "../../../plugins/cache/store/entry.ts";

const text = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 30,
});
const name = fc.stringMatching(/^[A-Za-z-]{1,12}$/);
const field = fc.tuple(name, text);

const entries: fc.Arbitrary<Entry> = fc.record({
  url: text,
  partition: text,
  status: fc.integer({ min: 200, max: 599 }),
  fields: fc.array(field, { maxLength: 6 }).map((fields) => ["ETag", '"1"', ...fields.flat()]),
  body: fc.oneof(
    fc.uint8Array({ maxLength: 3_000 }).map((bytes) => Buffer.from(bytes)),
    fc.integer({ min: 0, max: 9_000 }).map((size) => Buffer.alloc(size, "abc")),
  ),
  etag: fc.constant('"1"'),
  lastModified: fc.constant(undefined),
  dateMs: fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => seconds * 1000),
  bornAt: fc.integer(),
  requestedAt: fc.integer(),
  freshUntil: fc.integer(),
  staleWhileRevalidateMs: fc.nat(),
  staleIfErrorMs: fc.nat(),
  mayServeStale: fc.boolean(),
  alwaysValidate: fc.boolean(),
  immutable: fc.boolean(),
  forAnyone: fc.boolean(),
  implicit: fc.boolean(),
  vary: fc.constant(["foo", "bar"]),
  varyValues: fc.tuple(text, text),
  tags: fc.array(text, { maxLength: 4 }),
  forwardedDiff: fc.constant(undefined),
});

/** ETag first of all, so that the drawn fields cannot hold another one. */
const drawn = entries.filter(
  ({ fields }) => fields.filter((part) => /^(etag|last-modified)$/i.test(part)).length === 1,
);

test("property: an entry comes back as it was", async () => {
  await fc.assert(
    fc.asyncProperty(drawn, async (entry) => {
      const record = await decodeRecord(await encodeEntry(entry), 1_000_000);
      assert.ok("entry" in record);
      const { body, forwardedDiff, ...facts } = entry;
      assert.deepEqual([factsOf(record.entry), record.entry.body], [facts, body]);
      assert.equal(forwardedDiff, undefined);
    }),
  );
});

test("what was set on the request behind the cache never goes to Redis", async () => {
  const [entry] = fc.sample(drawn, 1) as [Entry];
  const bytes = await encodeEntry({
    ...entry,
    forwardedDiff: { set: ["X-Gateway-Key", "secret"], removed: ["x-old"] },
  });
  assert.equal(bytes.includes("secret"), false);
});

test("a Vary record comes back", async () => {
  assert.deepEqual(await decodeRecord(encodeVary(["accept-language"]), 10), { vary: ["accept-language"] });
});

test("a lost flag does not make a packed body the answer", async () => {
  const [entry] = fc.sample(drawn, 1) as [Entry];
  const bytes = await encodeEntry({ ...entry, body: Buffer.from("abc".repeat(1_000)) });
  bytes.writeUInt32BE(bytes.readUInt32BE(4) ^ 1, 4);
  await assert.rejects(decodeRecord(bytes, 1_000_000), BadRecord);
});

test("property: any change of any byte, and any cut, is refused", async () => {
  await fc.assert(
    fc.asyncProperty(
      drawn,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      async (entry, at, flip, cut) => {
        const bytes = await encodeEntry(entry);
        const place = at % bytes.length;
        const damaged = cut ? bytes.subarray(0, place) : Buffer.from(bytes);
        if (!cut) damaged[place] = (damaged[place] as number) ^ flip;
        await assert.rejects(decodeRecord(damaged, 1_000_000), BadRecord);
      },
    ),
  );
});

test("property: arbitrary bytes are refused", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      await assert.rejects(decodeRecord(Buffer.from(bytes), 1_000), BadRecord);
    }),
  );
});

/** A record with a right checksum and whatever facts, as somebody with access to Redis would write it. */
function forged(facts: unknown, body = Buffer.from("evil"), flags = 0): Buffer {
  const json = Buffer.from(JSON.stringify(facts));
  const head = Buffer.alloc(20);
  head.write("OCE2");
  head.writeUInt32BE(flags, 4);
  head.writeUInt32BE(json.length, 8);
  head.writeUInt32BE(body.length, 12);
  head.writeUInt32BE(crc32(body, crc32(json, crc32(head.subarray(0, 16)))), 16);
  return Buffer.concat([head, json, body]);
}

test("hostile facts under a right checksum are refused", async () => {
  const [good] = fc.sample(drawn, 1) as [Entry];
  const { body: _body, etag: _etag, lastModified: _modified, forwardedDiff: _behind, ...facts } = good;
  assert.ok("entry" in (await decodeRecord(forged(facts), 1_000)));
  const hostile: Record<string, unknown>[] = [
    { ...facts, fields: ["X", "a\r\nSet-Cookie: b=c"] },
    { ...facts, fields: ["X\r\nY", "a"] },
    { ...facts, fields: ["X"] },
    { ...facts, status: 101 },
    { ...facts, status: "200" },
    { ...facts, freshUntil: null },
    { ...facts, freshUntil: "Infinity" },
    { ...facts, varyValues: [] },
    { ...facts, unknown: 1 },
    { ...facts, staleIfErrorMs: -1 },
    {},
  ];
  for (const one of hostile)
    await assert.rejects(decodeRecord(forged(one), 1_000), BadRecord, JSON.stringify(one));
  await assert.rejects(decodeRecord(forged(facts, Buffer.from("not deflated"), 1), 1_000), BadRecord);
});

test("a body that inflates beyond the limit is refused before it is there", async () => {
  const [good] = fc.sample(drawn, 1) as [Entry];
  const bomb = await encodeEntry({ ...good, body: Buffer.alloc(5_000_000) });
  assert.ok(bomb.length < 20_000);
  await assert.rejects(decodeRecord(bomb, 100_000), BadRecord);
});
