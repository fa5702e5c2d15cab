// What a service or a tunnel may do to an exchange, on every kind of connection that clients use.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Front, frontNames, makeFront } from "../support/fronts.ts";
import { requestText, startRawService, type RawService } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

for (const name of frontNames) {
  describe(`a client that comes by ${name}`, () => {
    let front: Front;
    let service: RawService;
    let sidecar: TestSidecar;
    before(async () => {
      front = makeFront(name);
      service = await startRawService();
      sidecar = await startSidecar({
        policy: { plugins: ["logging"], routes: [{ path: "/*", timeout: 2_000 }] },
        upstream: service.url,
        env: front.env,
      });
    });
    after(async () => {
      service.close();
      await sidecar.stop();
      front.close();
    });
    const exchange = async (path: string, fields: readonly string[] = []) => {
      const client = await front.connect(sidecar.port);
      client.send(requestText("GET", path, fields));
      const upstream = await service.next();
      const head = await upstream.until((text) => text.includes("\r\n\r\n"));
      return { client, upstream, head };
    };
    const tunnel = async (path: string) => {
      const ends = await exchange(path, ["Connection: Upgrade", "Upgrade: mine/1"]);
      ends.upstream.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mine/1\r\n\r\n",
      );
      await ends.client.until((text) => text.includes("\r\n\r\n"));
      return ends;
    };

    it("is served", async () => {
      const { client, upstream, head } = await exchange("/served");
      assert.match(head, name === "TLS" ? /X-Forwarded-Proto: https/ : /X-Forwarded-Proto: http\r/);
      upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
      assert.equal((await client.answer()).body, "hi");
      client.end();
    });

    it("never takes a body that broke off for a whole one", async () => {
      const { client, upstream } = await exchange("/broken");
      upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
      await client.until((text) => text.includes("half"));
      upstream.socket.resetAndDestroy();
      const { rest } = await client.closed;
      assert.doesNotMatch(rest, /0\r\n\r\n$/);
      const line = await sidecar.line((entry) => entry["path"] === "/broken");
      assert.equal(line["end"], "upstream-aborted");
    });

    it("has its tunnel ended when the service resets it", async () => {
      const { client, upstream } = await tunnel("/tunnel-reset");
      upstream.socket.resetAndDestroy();
      await client.closed;
      await sidecar.line((entry) => entry["path"] === "/tunnel-reset");
    });

    it("ends the service's side of a tunnel by leaving", async () => {
      const { client, upstream } = await tunnel("/tunnel-left");
      client.socket.destroy();
      await upstream.closed;
      await sidecar.line((entry) => entry["path"] === "/tunnel-left");
    });
  });
}
