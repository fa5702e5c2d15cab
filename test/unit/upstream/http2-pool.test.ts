// What becomes of requests that wait for a place on an HTTP/2 connection, when connections fail, end or are too few.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type Http2Session, type ServerHttp2Stream } from "node:http2";
import net, { type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { createHttp2Transport } from "../../../src/upstream/http2-transport.ts";
import type { UpstreamTransport } from "../../../src/upstream/transport.ts";
import { RecordedExchange } from "../../support/recorded-exchange.ts";
import { eventually } from "../../support/redis.ts";

interface Service extends AsyncDisposable {
  readonly port: number;
  /** Connections so far. */
  readonly sockets: Socket[];
  readonly sessions: Http2Session[];
  readonly streams: ServerHttp2Stream[];
}

/** A service that holds every request until `answer`. @param takes whether it speaks on its nth connection, from 1 */
async function service(
  takes: (connection: number, socket: Socket) => boolean = () => true,
  maxConcurrentStreams = 100,
): Promise<Service> {
  const sockets: Socket[] = [];
  const sessions: Http2Session[] = [];
  const streams: ServerHttp2Stream[] = [];
  const spoken = http2.createServer({ settings: { maxConcurrentStreams } });
  spoken.on("session", (session) => {
    sessions.push(session);
    session.on("error", () => {});
  });
  spoken.on("stream", (stream: ServerHttp2Stream) => {
    streams.push(stream);
    stream.on("error", () => {});
  });
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    if (takes(sockets.length, socket)) spoken.emit("connection", socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    sessions,
    streams,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function transportTo(
  { port }: Service,
  options: { maxConnections: number; maxQueued?: number; clientShare?: number },
) {
  const target = { tls: false, host: "127.0.0.1", port, socketPath: undefined, name: "service" };
  return createHttp2Transport(target, { maxQueued: 1_000, idleTimeoutMs: 10_000, ...options });
}

const ask = (transport: UpstreamTransport, count: number, client?: string): RecordedExchange[] =>
  Array.from({ length: count }, () => new RecordedExchange(transport, { connectTimeoutMs: 5_000, client }));

/** Answers what is there until so many exchanges are over. @returns how they ended, by status or code */
async function ends(all: readonly RecordedExchange[], { streams }: Service): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  let over = 0;
  for (const { result } of all)
    void result.then(({ status, error }) => {
      over += 1;
      const how = error?.code ?? String(status);
      counts[how] = (counts[how] ?? 0) + 1;
    });
  await eventually("all are over", () => {
    for (const stream of streams.splice(0)) {
      if (stream.destroyed) continue;
      stream.respond({ ":status": 200 });
      stream.end();
    }
    return over === all.length;
  });
  return counts;
}

test("one of several connections that fails to open fails nobody whom another can carry", async () => {
  await using upstream = await service((connection, socket) => {
    if (connection === 1) socket.resetAndDestroy();
    return connection > 1;
  });
  const transport = transportTo(upstream, { maxConnections: 4 });
  const all = ask(transport, 250);
  assert.deepEqual(await ends(all, upstream), { 200: 250 });
  transport.close();
});

test("where none opens all fail at once", async () => {
  await using upstream = await service((_, socket) => {
    socket.resetAndDestroy();
    return false;
  });
  const transport = transportTo(upstream, { maxConnections: 4 });
  assert.deepEqual(await ends(ask(transport, 250), upstream), { upstream_reset: 250 });
  assert.equal(transport.counts().queued, 0);
  transport.close();
});

test("where the service allows fewer streams than assumed, all connections that are needed open at once", async () => {
  await using upstream = await service((connection) => connection === 1, 10);
  const transport = transportTo(upstream, { maxConnections: 20 });
  const all = ask(transport, 100);
  await eventually(
    "ten are under way, and the others wait for nine more",
    () => upstream.sockets.length === 10,
  );
  assert.deepEqual(transport.counts(), { active: 10, idle: 0, queued: 90, upgraded: 0 });
  for (const { call } of all) call.abort();
  transport.close();
});

test("what was refused unseen has its place, however full the queue", async () => {
  await using upstream = await service();
  const transport = transportTo(upstream, { maxConnections: 2, maxQueued: 10 });
  const all = ask(transport, 10);
  await eventually("they are under way", () => upstream.streams.length === 10);
  all.push(...ask(transport, 90));
  await eventually("all are under way", () => upstream.streams.length === 100);
  upstream.sessions[0]?.goaway(http2.constants.NGHTTP2_NO_ERROR, 1);
  assert.deepEqual(await ends(all, upstream), { 200: 100 });
  transport.close();
});

test("a client over its share has no connections opened that it may not use", async () => {
  await using upstream = await service();
  const transport = transportTo(upstream, { maxConnections: 4, clientShare: 50 });
  const all = ask(transport, 100, "a");
  await eventually("one connection is full", () => upstream.streams.length === 100);
  all.push(...ask(transport, 100, "a"));
  await eventually("its share", () => upstream.streams.length === 200);
  all.push(...ask(transport, 50, "a"), ...ask(transport, 1, "b"));
  await eventually("the other's", () => upstream.streams.length === 201);
  assert.equal(upstream.sockets.length, 3);
  assert.deepEqual(await ends(all, upstream), { 200: 251 });
  assert.equal(upstream.sockets.length, 3);
  transport.close();
});

test("a connection that the service has given up leaves its place at once, though the service keeps it open", async () => {
  await using upstream = await service();
  const transport = transportTo(upstream, { maxConnections: 1 });
  const first = ask(transport, 1);
  assert.deepEqual(await ends(first, upstream), { 200: 1 });
  const [session] = upstream.sessions;
  session?.goaway(http2.constants.NGHTTP2_NO_ERROR);
  await eventually("its place is free", () => transport.counts().idle === 0);
  assert.deepEqual(await ends(ask(transport, 1), upstream), { 200: 1 });
  assert.equal(upstream.sockets.length, 2);
  transport.close();
});
