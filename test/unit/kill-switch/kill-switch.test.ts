// Kill switches: how their targets are written, and which routes they cover.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type KillSwitch,
  nothingOff,
  parseSwitchField,
  SwitchedOff,
  switchField,
} from "../../../src/kill-switch/kill-switch.ts";

const off = (more: Partial<KillSwitch>): KillSwitch => ({
  plugin: "auth",
  service: undefined,
  route: undefined,
  untilMs: undefined,
  reason: "a fault",
  author: "ada",
  atMs: 1,
  openRoutes: true,
  ...more,
});

test("a target that is written as a field is read as the same target", () => {
  const target = fc.record(
    {
      plugin: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
      service: fc.option(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), { nil: undefined }),
      route: fc.option(fc.constantFrom("/", "/*", "/api/*", "/a/b", "/files/~bob/*"), { nil: undefined }),
    },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(target, (each) => assert.deepEqual(parseSwitchField(switchField(each)), each)));
});

test("what is no field of ours is none", () => {
  for (const field of [
    "",
    "auth",
    "auth *",
    "auth * * *",
    "AUTH * *",
    "auth * api/*",
    "auth * /%7Ebob",
    "a\nb * *",
  ])
    assert.equal(parseSwitchField(field), undefined, field);
});

test("a switch takes the routes whose own path its pattern takes", () => {
  const api = new SwitchedOff([off({ route: "/api/*" })]);
  for (const path of ["/api", "/api/*", "/api/users", "/api/users/*"]) assert.ok(api.of("auth", path), path);
  for (const path of ["/*", "/apis", "/apis/*", "/", ""]) assert.equal(api.of("auth", path), undefined, path);
  assert.equal(api.of("cors", "/api/*"), undefined);
  const exact = new SwitchedOff([off({ route: "/api" })]);
  assert.ok(exact.of("auth", "/api"));
  for (const path of ["/api/users", "/api/*"]) assert.equal(exact.of("auth", path), undefined, path);
  const all = new SwitchedOff([off({})]);
  for (const path of ["/*", "/api", ""]) assert.ok(all.of("auth", path), path);
});

test("of two switches the one that keeps routes closed counts", () => {
  const open = off({ route: "/api/*" });
  const closed = off({ openRoutes: false });
  for (const switches of [
    [open, closed],
    [closed, open],
  ])
    assert.equal(new SwitchedOff(switches).of("auth", "/api/users")?.openRoutes, false);
});

test("without a switch nothing is off", () => {
  assert.equal(nothingOff.of("auth", "/"), undefined);
  assert.equal(nothingOff.size, 0);
});
