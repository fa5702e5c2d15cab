// A TCP client that has reset its connection before the sidecar looks at it has no address any more, but its request
// can still be read. Callers on a unix socket have no address either, and are believed if the settings say so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { startSidecar } from "../support/sidecar.ts";

/** Connects, sends and resets while this thread stands still. */
const program = `
  const { connect } = require("node:net");
  const { workerData: { port, done } } = require("node:worker_threads");
  const request = "POST /reset HTTP/1.1\\r\\nHost: a\\r\\nX-Forwarded-For: 192.0.2.1\\r\\nContent-Length: 0\\r\\n\\r\\n";
  const socket = connect(port, "127.0.0.1", () => socket.write(request, () => socket.resetAndDestroy()));
  socket.on("close", () => Atomics.notify(done, Atomics.store(done, 0, 1) - 1));`;

test("who has reset the connection before it is looked at is not taken for a caller of a unix socket", async (t) => {
  const heard: unknown[] = [];
  const sidecar = await startSidecar({
    env: { OUTRIGGER_TRUSTED_PROXIES: "unix" },
    upstream: (request, response) => {
      heard.push([request.url, request.headers["x-forwarded-for"]]);
      response.end();
    },
  });
  t.after(() => sidecar.stop());
  const done = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(program, { eval: true, workerData: { port: sidecar.port, done } });
  assert.equal(Atomics.wait(done, 0, 0, 5_000), "ok");
  await worker.terminate();
  // Answered behind it.
  assert.equal((await fetch(`${sidecar.url}/after`)).status, 200);
  assert.deepEqual(heard, [["/after", "127.0.0.1"]]);
});
