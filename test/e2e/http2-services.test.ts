// Services that speak clear-text HTTP/2 and break its rules, frame by frame.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net, { type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { startSidecar } from "../support/sidecar.ts";
import { createHttp2Transport } from "../../src/upstream/http2-transport.ts";
import { block, flags, frame, frameTypes } from "../support/http2-frames.ts";
import { RecordedExchange } from "../support/recorded-exchange.ts";
import { connectRaw } from "../support/raw-client.ts";
import { eventually } from "../support/redis.ts";

const head = (flag: number, ...more: string[]): Buffer =>
  frame(frameTypes.headers, flags.endHeaders | flag, 1, block([":status", "200", ...more]));
const reset = (code: number): Buffer => frame(frameTypes.rst, 0, 1, Buffer.from([0, 0, 0, code]));

/**
 * What a service does with the first stream of each of its connections.
 * @param mute how many of them it takes without a word
 */
async function service(answer: (socket: Socket, connection: number) => void, mute = 0) {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    if (sockets.size <= mute) {
      socket.resume();
      return;
    }
    let seen = Buffer.alloc(0);
    let answered = false;
    socket.on("data", (chunk: Buffer) => {
      if (seen.length === 0)
        socket.write(
          Buffer.concat([frame(frameTypes.settings, 0, 0), frame(frameTypes.settings, flags.ack, 0)]),
        );
      seen = Buffer.concat([seen, chunk]);
      // A head of stream 1 is there.
      if (answered || !seen.includes(Buffer.from([0, 0, 0, 1]))) return;
      answered = true;
      answer(socket, sockets.size);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return sockets.size;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const env = { OUTRIGGER_UPSTREAM_PROTOCOL: "h2c", OUTRIGGER_UPSTREAM_CONNECT_TIMEOUT_MS: "500" };
const sidecarTo = (upstream: string, more: Record<string, string> = {}) =>
  startSidecar({ policy: { plugins: ["logging"] }, upstream, env: { ...env, ...more } });

for (const [what, code] of [
  ["NO_ERROR", 0],
  ["INTERNAL_ERROR", 2],
] as const) {
  test(`a body that ends with a reset (${what}) does not pass for a whole one`, async () => {
    await using upstream = await service((socket) =>
      socket.write(Buffer.concat([head(0), frame(frameTypes.data, 0, 1, Buffer.from("half")), reset(code)])),
    );
    await using sidecar = await sidecarTo(upstream.url);
    await assert.rejects(async () => (await fetch(sidecar.url)).text());
    await sidecar.line(({ end }) => end === "upstream-aborted");
  });
}

test("bodies that end with their last frame, with an empty one, or with trailers are whole", async () => {
  for (const end of [
    [frame(frameTypes.data, flags.endStream, 1, Buffer.from("whole"))],
    [frame(frameTypes.data, 0, 1, Buffer.from("whole")), frame(frameTypes.data, flags.endStream, 1)],
    [
      frame(frameTypes.data, 0, 1, Buffer.from("whole")),
      frame(frameTypes.headers, flags.endHeaders | flags.endStream, 1, block(["x-sum", "1"])),
    ],
  ]) {
    await using upstream = await service((socket) => socket.write(Buffer.concat([head(0), ...end])));
    await using sidecar = await sidecarTo(upstream.url);
    assert.equal(await (await fetch(sidecar.url)).text(), "whole");
  }
});

test("what a service refused unseen is sent once more", async () => {
  await using upstream = await service((socket) => {
    socket.write(reset(7));
    socket.on("data", (chunk: Buffer) => {
      if (!chunk.includes(Buffer.from([0, 0, 0, 3]))) return;
      const whole = flags.endHeaders | flags.endStream;
      socket.write(frame(frameTypes.headers, whole, 3, block([":status", "200", "x-try", "2"])));
    });
  });
  await using sidecar = await sidecarTo(upstream.url);
  const response = await fetch(sidecar.url);
  assert.deepEqual([response.status, response.headers.get("x-try")], [200, "2"]);
});

test("a service that sends interim responses without end is not listened to", async () => {
  const hint = frame(
    frameTypes.headers,
    flags.endHeaders,
    1,
    block([":status", "103", "link", "x".repeat(100)]),
  );
  const hints = Buffer.concat(Array.from({ length: 200 }, () => hint));
  await using upstream = await service((socket) => socket.write(hints));
  await using sidecar = await sidecarTo(upstream.url);
  // What comes of it is all that is waited for: without a bound it would be the route's time limit.
  assert.equal((await fetch(sidecar.url)).status, 502);
  const line = await sidecar.line(({ msg }) => msg === "request");
  assert.equal(line["error"], "upstream_invalid_response");
});

test("an upload that a service has answered early keeps no stream", async () => {
  const refusals = {
    "in one frame": [head(flags.endStream)],
    "with a body": [head(0), frame(frameTypes.data, flags.endStream, 1, Buffer.from("no"))],
  };
  for (const [how, refusal] of Object.entries(refusals)) {
    await using upstream = await service((socket) => socket.write(Buffer.concat(refusal)));
    await using sidecar = await sidecarTo(upstream.url);
    const client = await connectRaw(sidecar.port);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert.match(await client.head(), /^HTTP\/1\.1 200 /);
    await eventually(`no stream is left (${how})`, async () =>
      /^outrigger_upstream_connections\{.*state="active"\} 0$/m.test(await sidecar.metrics()),
    );
    client.socket.destroy();
  }
});

test("a refusal in the middle of an upload that is asked again ends no process", async () => {
  const server = http2.createServer();
  let asked = 0;
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    asked += 1;
    stream.on("error", () => {});
    stream.respond({ ":status": 503 }, { endStream: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"], routes: [{ path: "/*", retry: { backoffMs: 1 } }] },
    upstream: `http://127.0.0.1:${port}`,
    env,
  });
  const client = await connectRaw(sidecar.port);
  client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  assert.match(await client.head(), /^HTTP\/1\.1 503 /);
  assert.equal(asked, 3);
  client.socket.destroy();
  server.close();
});

test("an upload that a service does not take is given up in time", async () => {
  // No window at all.
  await using upstream = await service((socket) =>
    socket.write(frame(frameTypes.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]))),
  );
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"], routes: [{ path: "/*", timeout: 300, bufferRequestBytes: 0 }] },
    upstream: upstream.url,
    env,
  });
  const response = await fetch(sidecar.url, { method: "POST", body: Buffer.alloc(1_000_000) });
  assert.equal(response.status, 504);
});

test("a connection that has gone deaf is given up while requests come, and another one serves", async () => {
  await using upstream = await service((socket, connection) => {
    // The first is read, and never says a word more.
    if (connection > 1) socket.write(head(flags.endStream));
  });
  const { hostname, port } = new URL(upstream.url);
  const target = {
    tls: false,
    host: hostname,
    port: Number(port),
    socketPath: undefined,
    name: "deaf",
  };
  const transport = createHttp2Transport(target, {
    maxConnections: 2,
    maxQueued: 10,
    idleTimeoutMs: 1_000,
    pingLimitMs: 50,
  });
  const ask = async (): Promise<string | number> => {
    const { status, error } = await new RecordedExchange(transport, { timeoutMs: 100 }).result;
    return error?.code ?? status;
  };
  assert.equal(await ask(), "upstream_timeout");
  await eventually("another one serves", async () => (await ask()) === 200);
  assert.equal(upstream.connections, 2);
  transport.close();
});

test("a connection on which a service says nothing is given up, and another one serves", async () => {
  await using upstream = await service((socket, connection) => {
    if (connection > 1) socket.write(head(flags.endStream));
  }, 1);
  await using sidecar = await sidecarTo(upstream.url);
  assert.equal((await fetch(sidecar.url)).status, 504);
  await eventually("another one serves", async () => (await fetch(sidecar.url)).status === 200, 5_000);
});

test("a service that does not speak HTTP/2, says nothing, or is not there costs a request its answer alone", async () => {
  for (const [greeting, status] of [
    ["HTTP/1.1 400 Bad Request\r\n\r\n", 502],
    ["", 504],
  ] as const) {
    const server = net.createServer((socket) => {
      socket.on("error", () => {}).resume();
      socket.write(greeting);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    await using sidecar = await sidecarTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    assert.equal((await fetch(sidecar.url)).status, status);
    server.close();
  }
  await using sidecar = await sidecarTo("http://127.0.0.1:1");
  assert.equal((await fetch(sidecar.url)).status, 502);
});

test("one client does not take all of a service's streams and queue", async () => {
  const open: Socket[] = [];
  await using upstream = await service((socket) => void open.push(socket));
  await using sidecar = await sidecarTo(upstream.url, {
    OUTRIGGER_UPSTREAM_CONNECTIONS: "1",
    OUTRIGGER_UPSTREAM_QUEUE: "10",
    OUTRIGGER_CLIENT_SHARE: "80",
    OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32",
  });
  const gone = new AbortController();
  // By node:http: fetch keeps the process for ten seconds after what it aborted.
  const ask = (client: string): Promise<number | undefined> =>
    new Promise((resolve) => {
      const headers = { "x-forwarded-for": client };
      const request = http.get(sidecar.url, { agent: false, headers, signal: gone.signal }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", () => resolve(undefined));
    });
  const answered: unknown[] = [];
  const crowd = Array.from({ length: 100 }, async () => answered.push(await ask("192.0.2.1")));
  // 80 streams and 8 places are its share.
  await eventually("the others are answered", () => answered.length === 12);
  assert.deepEqual(new Set(answered), new Set([503]));
  const other = ask("192.0.2.2");
  assert.equal(
    await Promise.race([other, new Promise((resolve) => setTimeout(resolve, 100, "forwarded"))]),
    "forwarded",
  );
  gone.abort();
  await Promise.all(crowd);
});
