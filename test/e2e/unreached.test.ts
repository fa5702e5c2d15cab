// Commands that ask a sidecar's admin listener where none runs: they say what is not there, and what to set.
import assert from "node:assert/strict";
import { test } from "node:test";
import { outrigger } from "../support/process.ts";
import { freePort } from "../support/redis.ts";

const asked = [["explain", "an-id"], ["tap"], ["drill", "redis-down", "--for", "1s"]];

for (const [command = "", ...args] of asked)
  test(`${command} says that no sidecar's admin listener is there, and what to set: exit 1`, async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const own = await outrigger([command, ...args], { OUTRIGGER_ADMIN: address });
    assert.deepEqual([own.code, own.stdout], [1, ""]);
    assert.equal(
      own.stderr.split("\n")[0],
      `${address}: no sidecar's admin listener there: nothing listens (ECONNREFUSED); name a running sidecar's by --admin, or set OUTRIGGER_ADMIN as that sidecar has it`,
    );
    const named = await outrigger([command, ...args, "--admin", address]);
    assert.equal(named.code, 1);
    assert.equal(
      named.stderr.split("\n")[0],
      `${address}: no sidecar's admin listener there: nothing listens (ECONNREFUSED)`,
    );
    const socket = await outrigger([command, ...args], { OUTRIGGER_ADMIN: "unix:/nowhere/admin.sock" });
    assert.match(socket.stderr, /^unix:\/nowhere\/admin\.sock: .*: there is no such socket \(ENOENT\)/);
  });
