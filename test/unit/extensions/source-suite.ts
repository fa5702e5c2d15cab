// What every place of packages does, whatever it is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { maxPackageBytes } from "../../../src/extensions/package.ts";
import { PackageError, PackageUnavailable } from "../../../src/extensions/package-error.ts";
import type { PackageSource } from "../../../src/extensions/source.ts";
import { moduleOf } from "./sample-packages.ts";

export interface Place {
  readonly source: PackageSource;
  /** Puts bytes there as that version of `geo`, with a signature or without. */
  put(version: string, bytes: Buffer, signature?: string): Promise<void>;
  /** As a policy says it: of all versions, or of one. */
  location(version?: string): string;
  /** Where everything is listed. */
  readonly all: string;
  /** Makes it be out of reach. */
  lose(): Promise<void>;
}

const limit = (): AbortSignal => AbortSignal.timeout(5_000);

/** @param open a place that is empty; it is closed after the test */
export function testSource(what: string, open: () => Promise<Place>): void {
  const wanted = (place: Place, written?: string, version?: string) => ({
    name: "geo",
    location: place.location(written),
    version,
  });

  test(`${what}: hands out the bytes of the version that the location or the policy says`, async () => {
    const place = await open();
    await place.put("1.2.0", moduleOf());
    await place.put("1.3.0", moduleOf({ version: "1.3.0" }));
    assert.deepEqual(await place.source.fetch(wanted(place, "1.2.0"), limit()), moduleOf());
    const later = await place.source.fetch(wanted(place, undefined, "1.3.0"), limit());
    assert.deepEqual(later, moduleOf({ version: "1.3.0" }));
  });

  test(`${what}: tells which versions there are; a location with its version is one package`, async () => {
    const place = await open();
    for (const version of ["1.2.0", "1.10.0", "2.0.0-rc.1"]) await place.put(version, moduleOf({ version }));
    const versions = await place.source.versions({ name: "geo", location: place.location() }, limit());
    assert.deepEqual(versions?.toSorted(), ["1.10.0", "1.2.0", "2.0.0-rc.1"]);
    const one = { name: "geo", location: place.location("1.2.0") };
    assert.equal(await place.source.versions(one, limit()), undefined);
  });

  test(`${what}: lists what is there, each by a location where it is`, async () => {
    const place = await open();
    await place.put("1.2.0", moduleOf());
    await place.put("1.3.0", moduleOf({ version: "1.3.0" }));
    const listed = await place.source.list(place.all, limit());
    assert.deepEqual(listed.map(({ name, version }) => `${name}@${version}`).toSorted(), [
      "geo@1.2.0",
      "geo@1.3.0",
    ]);
    for (const each of listed)
      assert.deepEqual(await place.source.fetch(each, limit()), moduleOf({ version: each.version }));
  });

  test(`${what}: hands out the signature beside a package, if there is one`, async () => {
    const place = await open();
    await place.put("1.2.0", moduleOf(), "a.b.c");
    await place.put("1.3.0", moduleOf({ version: "1.3.0" }));
    assert.equal(await place.source.signature(wanted(place, "1.2.0"), limit()), "a.b.c");
    assert.equal(await place.source.signature(wanted(place, undefined, "1.2.0"), limit()), "a.b.c");
    assert.equal(await place.source.signature(wanted(place, "1.3.0"), limit()), undefined);
  });

  test(`${what}: what is not there may come later`, async () => {
    const place = await open();
    await place.put("1.2.0", moduleOf());
    await assert.rejects(place.source.fetch(wanted(place, undefined, "1.4.0"), limit()), (error) => {
      assert.ok(error instanceof PackageUnavailable, String(error));
      assert.match(error.message, /1\.4\.0/);
      return true;
    });
  });

  test(`${what}: what is too long is refused, and not read whole`, async () => {
    const place = await open();
    await place.put("1.2.0", Buffer.alloc(maxPackageBytes + 1_000_000));
    await assert.rejects(place.source.fetch(wanted(place, "1.2.0"), limit()), (error) => {
      assert.ok(error instanceof PackageError, String(error));
      assert.match(error.message, /bytes/);
      return true;
    });
  });

  test(`${what}: a place that is out of reach is one that may come back`, async () => {
    const place = await open();
    await place.put("1.2.0", moduleOf());
    await place.lose();
    await assert.rejects(place.source.fetch(wanted(place, "1.2.0"), limit()), PackageUnavailable);
    const versions = place.source.versions({ name: "geo", location: place.location() }, limit());
    await assert.rejects(versions, PackageUnavailable);
    await assert.rejects(place.source.list(place.all, limit()), PackageUnavailable);
  });
}
