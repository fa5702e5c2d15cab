// POST /quit: lets another container of the pod end the sidecar (the last act of a Kubernetes Job).
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { mainFile, startNode } from "../support/process.ts";

for (const workers of ["1", "2"]) {
  test(`quit answers what is in flight and exits 0, with ${workers} worker(s)`, async (t) => {
    const asked = Promise.withResolvers<() => void>();
    const service = createServer((_request, response) => asked.resolve(() => response.end("late")));
    service.listen(0, "127.0.0.1");
    await once(service, "listening");
    t.after(() => service.close());
    const { child, said, end } = startNode([mainFile, "run"], {
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      OUTRIGGER_UPSTREAM: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
      OUTRIGGER_WORKERS: workers,
    });
    t.after(() => child.kill("SIGKILL"));
    const lines = (await said('"listening"')).trim().split("\n");
    const { address, admin } = lines
      .map((line) => JSON.parse(line) as Record<string, string>)
      .find(({ msg }) => msg === "listening") as Record<"address" | "admin", string>;
    const answer = fetch(`http://${address}/`);
    const respond = await asked.promise;
    assert.equal((await fetch(`http://${admin}/quit`, { method: "POST" })).status, 202);
    await said('"draining"');
    respond();
    assert.equal(await (await answer).text(), "late");
    assert.equal((await end).code, 0);
  });
}
