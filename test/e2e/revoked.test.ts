// Exchanges that continue after their caller lost permission: how each kind is ended, and which are left alone.
import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { GatewayError, type Hooks } from "../../src/plugin-api/contract.ts";
import { pluginWith } from "../support/plugins.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

type Recheck = NonNullable<Hooks["recheck"]>;
const forbidden = new GatewayError("forbidden", "Not any more.");
const upgradeTo = (protocol: string): string =>
  `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
const switching = (protocol: string): string =>
  `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;

describe("an exchange whose caller may not go on", () => {
  let service: net.Server;
  let sidecar: TestSidecar;
  /** What the plugin says from now on. */
  let verdict: Recheck;
  let asked: string[];
  let connected: Promise<Socket>;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    verdict = () => undefined;
    asked = [];
    service = net.createServer();
    const first = Promise.withResolvers<Socket>();
    connected = first.promise;
    service.on("connection", (socket) => {
      sockets.push(socket.on("error", () => {}).resume());
      first.resolve(socket);
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    const guard = pluginWith("guard", {
      onRequest: ({ request }) => request.fields.delete("x-secret"),
      recheck: (exchange) => {
        asked.push(exchange.request.fields.get("x-secret") ?? exchange.request.path);
        return verdict(exchange);
      },
      timeLimitMs: { recheck: 50 },
    });
    const faults = pluginWith("other", {});
    sidecar = await startSidecar({
      policy: { plugins: ["guard", "other"] },
      registry: [guard, faults],
      upstream: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
      env: { OUTRIGGER_RECHECK_MS: "100" },
    });
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    service.close();
    await sidecar.stop();
  });

  /** A client that has sent this; `got` is all that came, `over` what it came to. */
  function client(text: string): { socket: Socket; got: () => string; over: Promise<string> } {
    const socket = net.connect(sidecar.port, "127.0.0.1");
    sockets.push(socket);
    let got = "";
    const over = new Promise<string>((resolve) => {
      socket.once("error", ({ message }) => resolve(message));
      socket.once("end", () => resolve("end"));
    });
    socket.on("data", (chunk: Buffer) => (got += chunk.toString("latin1"))).write(text);
    return { socket, got: () => got, over };
  }

  const refuse: Recheck = () => ({ action: "reject", error: forbidden });
  const body = (got: string): string => got.slice(got.indexOf("\r\n\r\n") + 4);
  const askedTwice = async (): Promise<void> => {
    const before = asked.length;
    while (asked.length < before + 2) await delay(10);
  };

  it("is shown to the plugins as its request came", async () => {
    client("GET /x HTTP/1.1\r\nHost: a\r\nX-Secret: s\r\n\r\n");
    await askedTwice();
    assert.deepEqual(new Set(asked), new Set(["s"]));
  });

  it("without an answer yet gets that of the refusal, and the service is let go", async () => {
    const { got, over } = client("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const upstream = await connected;
    verdict = refuse;
    await Promise.all([once(upstream, "close"), over]);
    assert.match(got(), /^HTTP\/1\.1 403 /);
  });

  it("in the middle of its answer is reset", async () => {
    const { over } = client("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    const upstream = await connected;
    upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
    verdict = refuse;
    assert.match(await over, /ECONNRESET/);
  });

  it("in the middle of a frame gets that frame's rest, a close of 1008, and nothing else", async () => {
    const { got, over } = client(upgradeTo("WebSocket"));
    const upstream = await connected;
    const frames = Buffer.from([0x81, 4, 1, 2, 3, 4]);
    upstream.write(switching("WebSocket"));
    upstream.write(frames.subarray(0, 3));
    await askedTwice();
    const told = once(upstream, "data") as Promise<[Buffer]>;
    upstream.once("end", () => upstream.end());
    verdict = refuse;
    assert.equal((await told)[0].at(0), 0x88);
    upstream.write(Buffer.concat([frames.subarray(3), frames]));
    assert.equal(await over, "end");
    assert.deepEqual([...Buffer.from(body(got()), "latin1")], [...frames, 0x88, 2, 0x03, 0xf0]);
  });

  it("in the middle of a frame that never ends is reset after a moment", async () => {
    const { over } = client(upgradeTo("websocket"));
    const upstream = await connected;
    upstream.write(switching("websocket"));
    upstream.write(Buffer.from([0x81, 4, 1]));
    await askedTwice();
    verdict = refuse;
    assert.match(await over, /ECONNRESET/);
  });

  it("of a protocol that nobody knows is reset on both sides", async () => {
    const { over } = client(upgradeTo("telnet"));
    const upstream = await connected;
    upstream.write(switching("telnet"));
    await askedTwice();
    verdict = refuse;
    await Promise.all([once(upstream, "close"), over.then((how) => assert.match(how, /ECONNRESET/))]);
  });

  const harmless: readonly (readonly [string, Recheck])[] = [
    [
      "fails",
      () => {
        throw new Error("a bug");
      },
    ],
    ["hangs", () => new Promise<never>(() => {})],
    [
      "cannot tell",
      () => ({ action: "reject", error: new GatewayError("dependency_unavailable", "Later.") }),
    ],
  ];
  for (const [how, recheck] of harmless) {
    it(`goes on where the plugin ${how}`, async () => {
      const { got, socket } = client(upgradeTo("telnet"));
      const upstream = await connected;
      upstream.write(switching("telnet"));
      verdict = recheck;
      await askedTwice();
      upstream.write("still here");
      while (body(got()) !== "still here") await once(socket, "data");
    });
  }
});
