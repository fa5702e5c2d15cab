// Upgrades that evade the rules for requests: where the sidecar connects, how often, and how much it buffers.
import assert from "node:assert/strict";
import dns from "node:dns";
import { once } from "node:events";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { connectRaw } from "../../support/raw-client.ts";
import { requestText, startRawService } from "../../support/raw-http.ts";
import { eventually } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { Attack } from "../attack.ts";

const handshake = ["Connection: Upgrade", "Upgrade: mine/1"];
const accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mine/1\r\n\r\n";

/**
 * The attacker's name server: it returns a permitted address first, so that a sidecar that does not check the later one
 * connects there.
 */
function resolvesToMetadata(scene: Scene, name: string): void {
  const real = dns.lookup;
  scene.after(() => {
    dns.lookup = real;
    syncBuiltinESMExports();
  });
  const addresses = ["127.0.0.1", "169.254.169.254"].map((address) => ({ address, family: 4 }));
  const lookup = (hostname: string, options: object, callback: (...told: unknown[]) => void): void => {
    if (hostname === name) process.nextTick(callback, null, addresses);
    else (real as (...args: unknown[]) => void)(hostname, options, callback);
  };
  dns.lookup = lookup as typeof real;
  syncBuiltinESMExports();
}

export const attacks: readonly Attack[] = [
  {
    row: "Z26",
    what: "upgrades a request to a name that resolves to a metadata address",
    async run(scene) {
      const service = await startRawService();
      scene.after(() => service.close());
      const host = `meta.test:${new URL(service.url).port}`;
      resolvesToMetadata(scene, "meta.test");
      const sidecar = await scene.sidecar({
        policy: { plugins: ["logging"], routes: [{ path: "/*", upstream: `http://${host}` }] },
        upstream: service.url,
        env: { OUTRIGGER_UPSTREAM_ALLOW: host },
      });
      for (const fields of [[], handshake]) {
        const client = await connectRaw(sidecar.port);
        scene.after(() => client.socket.destroy());
        client.send(requestText("GET", "/", fields));
        const answered = client.head();
        const reached = eventually("a connection", () => service.connections.length > 0, 4_000);
        const head = await Promise.race([answered, reached.then(() => "a connection there")]);
        assert.match(head, /^HTTP\/1\.1 502 /);
      }
      assert.equal(service.connections.length, 0);
    },
  },
  {
    row: "Z40",
    what: "upgrades until nobody else has a connection to the service",
    async run(scene) {
      let open = 0;
      const service = net.createServer((socket) => {
        open += 1;
        socket.on("error", () => {}).on("close", () => (open -= 1));
        socket.on("data", (bytes) => {
          if (bytes.includes("Upgrade")) socket.write(accepted);
          else socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        });
      });
      await once(service.listen(0, "127.0.0.1"), "listening");
      scene.after(() => service.close());
      const sidecar = await scene.sidecar({
        policy: { plugins: ["logging"] },
        upstream: `http://127.0.0.1:${(service.address() as net.AddressInfo).port}`,
        env: { OUTRIGGER_UPSTREAM_UPGRADES: "10" },
      });
      const upgrade = async (localAddress: string): Promise<string> => {
        const socket = net.connect({ port: sidecar.port, host: "127.0.0.1", localAddress });
        scene.after(() => socket.destroy());
        socket.on("error", () => {}).write(requestText("GET", "/", handshake));
        const [bytes] = (await once(socket, "data")) as [Buffer];
        return bytes.toString("latin1", 9, 12);
      };
      const answers: string[] = [];
      for (let i = 0; i < 12; i += 1) answers.push(await upgrade("127.0.0.1"));
      assert.equal(answers.filter((status) => status === "101").length, 8, answers.join());
      assert.equal(answers.filter((status) => status === "503").length, 4, answers.join());
      assert.equal(open, 8);
      assert.equal(await upgrade("127.0.0.2"), "101", "somebody else's upgrade");
      assert.equal((await fetch(sidecar.url)).status, 200, "a plain request");
    },
  },
  {
    row: "Z40",
    what: "has the service answer an upgrade with interim responses without end, and reads none",
    async run(scene) {
      const service = await startRawService();
      scene.after(() => service.close());
      const sidecar = await scene.sidecar({ policy: { plugins: ["logging"] }, upstream: service.url });
      const client = await connectRaw(sidecar.port);
      scene.after(() => client.socket.destroy());
      client.socket.pause();
      client.send(requestText("GET", "/", handshake));
      const upstream = await service.next();
      await upstream.until((text) => text.includes("\r\n\r\n"));
      upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n".repeat(100));
      const line = await Promise.race([
        sidecar.line(({ status }) => status !== undefined),
        new Promise((_, reject) =>
          setTimeout(reject, 2_000, new Error("100 interim responses went through")).unref(),
        ),
      ]);
      assert.equal((line as { status: number }).status, 502);
      await upstream.closed;
    },
  },
];
