// Requests in flight: limited, queued, and every permit is returned, however the request ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import type http from "node:http";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { Concurrency, type Permit } from "../../../plugins/rate-limit/admission/concurrency.ts";
import { TestClock } from "../../support/rate-limit.ts";
import { eventually } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const never = (): AbortSignal => new AbortController().signal;

function concurrencyOf(limit: number, queue: number): { permits: Concurrency; clock: TestClock } {
  const clock = new TestClock();
  return { permits: new Concurrency({ limit, queue, queueTimeoutMs: 1000 }, clock), clock };
}

test("places are taken at once while there are any, and each caller has its own", () => {
  const { permits } = concurrencyOf(2, 0);
  assert.ok(permits.enter("a", never) !== undefined);
  const second = permits.enter("a", never) as Permit;
  assert.equal(permits.enter("a", never), undefined);
  assert.ok(permits.enter("b", never) !== undefined);
  second.release();
  second.release();
  assert.ok(permits.enter("a", never) !== undefined);
  assert.equal(permits.enter("a", never), undefined, "a place given back twice counts once");
});

test("workers of one sidecar have their part of the places and of the queue, and a place at least", () => {
  const partOf = (limit: number, queue: number, workers: number): number[] => {
    const options = { limit, queue, queueTimeoutMs: 1000 };
    const clock = new TestClock();
    const permits = new Concurrency(options, clock, workers);
    for (let i = 0; i < 20; i++) void permits.enter("a", never);
    const { inFlight, waiting } = permits.counts();
    clock.advance(1000);
    permits.expire();
    return [inFlight, waiting];
  };
  assert.deepEqual(partOf(9, 5, 4), [2, 1]);
  assert.deepEqual(partOf(1, 0, 4), [1, 0]);
});

test("who finds no place waits in order, as many as the queue holds", async () => {
  const { permits } = concurrencyOf(1, 2);
  const first = permits.enter("a", never) as Permit;
  const second = permits.enter("a", never);
  const third = permits.enter("a", never);
  assert.equal(permits.enter("a", never), undefined);
  assert.deepEqual(permits.counts(), { inFlight: 1, waiting: 2 });
  first.release();
  (await second)?.release();
  (await third)?.release();
  assert.ok(permits.idle, "nothing is remembered of callers that have nothing in flight");
});

test("a wait ends with the client's leaving or with its time, and leaves no trace", async () => {
  const { permits, clock } = concurrencyOf(1, 5);
  const holder = permits.enter("a", never) as Permit;
  const controller = new AbortController();
  const gone = permits.enter("a", () => controller.signal);
  const late = permits.enter("a", never);
  controller.abort();
  assert.equal(await gone, undefined);
  clock.advance(1000);
  permits.expire();
  assert.equal(await late, undefined);
  const patient = permits.enter("a", never);
  holder.release();
  assert.ok((await patient) !== undefined);
});

/** A sidecar that lets two requests in at once; the service answers when told. */
async function narrowSidecar(
  t: TestContext,
  concurrency: Record<string, unknown>,
): Promise<{
  sidecar: TestSidecar;
  held: { request: http.IncomingMessage; response: http.ServerResponse }[];
}> {
  const held: { request: http.IncomingMessage; response: http.ServerResponse }[] = [];
  const sidecar = await startSidecar({
    policy: {
      plugins: ["logging", "rate-limit"],
      pluginConfig: { "rate-limit": { concurrency: { limit: 2, ...concurrency } } },
      routes: [{ path: "/late", timeout: 300 }, { path: "/*" }],
    },
    upstream: (request, response) => void held.push({ request, response }),
  });
  t.after(() => sidecar.stop());
  return { sidecar, held };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  await eventually(what, holds);
}

test("the request beyond the limit is refused with 429 and the names the draft has for it", async (t) => {
  const { sidecar, held } = await narrowSidecar(t, {});
  const inFlight = [fetch(sidecar.url), fetch(sidecar.url)];
  await until("two are at the service", () => held.length === 2);
  const refused = await fetch(sidecar.url);
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "1");
  const problem = (await refused.json()) as Record<string, unknown>;
  assert.deepEqual(problem["violated-policies"], ["concurrency"]);
  for (const { response } of held) response.end("done");
  assert.deepEqual(
    (await Promise.all(inFlight)).map(({ status }) => status),
    [200, 200],
  );
});

test("a place is given back after an answer, an abort, a time limit, a dead service and a closed upgrade", async (t) => {
  const { sidecar, held } = await narrowSidecar(t, {});
  const service = sidecar.service as http.Server;
  service.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.on("error", () => {});
    socket.on("end", () => socket.end()).resume();
  });
  const freed = async (): Promise<void> => {
    const before = held.length;
    const pair = [fetch(sidecar.url), fetch(sidecar.url)];
    await until("two more are at the service", () => held.length === before + 2);
    for (const { response } of held) response.end();
    for (const answer of await Promise.all(pair)) assert.equal(answer.status, 200);
  };
  await freed();

  for (let round = 0; round < 3; round += 1) {
    const controller = new AbortController();
    const aborted = fetch(sidecar.url, { signal: controller.signal });
    const before = held.length;
    await until("it is at the service", () => held.length > before);
    controller.abort();
    await assert.rejects(aborted);
    // Its end alone does not say that it has left: it is tried first.
    await until(
      "the abort is logged",
      () => sidecar.lines.filter((line) => line["end"] === "client-aborted").length === round + 1,
    );
  }
  await freed();

  for (let round = 0; round < 3; round += 1) assert.equal((await fetch(`${sidecar.url}/late`)).status, 504);
  await freed();

  for (let round = 0; round < 3; round += 1) {
    const before = held.length;
    // Not one that may be sent again.
    const failed = fetch(sidecar.url, { method: "POST", body: "x" });
    await until("it is at the service", () => held.length > before);
    held.at(-1)?.request.socket.destroy();
    assert.equal((await failed).status, 502);
  }
  await freed();

  for (let round = 0; round < 3; round += 1) {
    const socket = connect(sidecar.port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    const [head] = (await once(socket, "data")) as [Buffer];
    assert.match(head.toString(), /^HTTP\/1\.1 101/);
    const lines = sidecar.lines.length;
    socket.destroy();
    await until("the end is logged", () => sidecar.lines.length > lines);
  }
  await freed();
});

test("a queue makes waiters of the requests beyond the limit", async (t) => {
  const { sidecar, held } = await narrowSidecar(t, { queue: 1, queueTimeoutMs: 5000 });
  const three = [fetch(sidecar.url), fetch(sidecar.url), fetch(sidecar.url)];
  await until("two are at the service", () => held.length === 2);
  assert.equal((await fetch(sidecar.url)).status, 429);
  for (const { response } of held) response.end();
  await until("the third is at the service", () => held.length === 3);
  held[2]?.response.end();
  for (const answer of await Promise.all(three)) assert.equal(answer.status, 200);
});
