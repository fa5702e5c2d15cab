// How long a plugin's services work: as long as it has a state, whatever the policy.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { PluginDefinition, Services } from "../../../src/plugin-api/contract.ts";
import { createSnapshot, type Snapshot } from "../../../src/runtime/snapshot.ts";
import { EndpointServer } from "../../support/endpoint-server.ts";
import { hostWith, routeSpec } from "../../support/plugin-host.ts";
import { eventually } from "../../support/redis.ts";
import { pluginWith } from "../../support/plugins.ts";

let server: EndpointServer;
before(async () => {
  server = new EndpointServer((_request, response) => response.end());
  await server.listen();
});
after(() => server.close());

test("what a plugin opened by its services ends once it is disposed of, and begins anew where it comes back", async () => {
  let services: Services | undefined;
  const disposing = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let disposals = 0;
  const plugin: PluginDefinition = {
    ...pluginWith("geo", {}),
    needs: { hosts: [new URL(server.url).host] },
    init: (given) => (services = given),
    dispose: () => disposing[(disposals += 1) - 1]?.promise,
  };
  const host = hostWith([plugin]);
  const snapshot = (): Promise<Snapshot> =>
    createSnapshot({ routes: [], unmatched: routeSpec("", ["geo"]) }, host, () => {});
  const ask = async (): Promise<number> => {
    const answer = await (services as Services).http.request({
      url: server.url,
      timeoutMs: 1_000,
      maxBodyBytes: 10,
    });
    return answer.status;
  };
  const first = await snapshot();
  assert.equal(await ask(), 200);
  first.retire();
  await first.closed;
  const closing = host.states.close();
  // It may still say good-bye while it is disposed of.
  assert.equal(await ask(), 200);
  await snapshot();
  disposing[0]?.resolve();
  await closing;
  assert.equal(await ask(), 200);
  disposing[1]?.resolve();
  await host.states.close();
  await assert.rejects(ask(), /plugin "geo" is closed/);
  await eventually("no connection is left", () => server.connections === 0, 4_000);
});
