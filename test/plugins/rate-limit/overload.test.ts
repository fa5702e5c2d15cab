// Overload protection without configuration: which requests are shed, when, and what triggers it.
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { Pool, type Dispatcher } from "undici";
import { OverloadGuard, type Priority, type Ticket } from "../../../plugins/rate-limit/admission/overload.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { TestClock } from "../../support/rate-limit.ts";
import { startSidecar } from "../../support/sidecar.ts";

function guardOf(): { guard: OverloadGuard; clock: TestClock } {
  const clock = new TestClock();
  return { guard: new OverloadGuard(clock, createMetrics({ service: "test" })), clock };
}

/**
 * A service with so many workers, each of which takes so long for a request, in steps of 10 ms; clients keep so many
 * requests going. Counts what was admitted, shed and the longest wait of the last second.
 */
function simulate(
  guard: OverloadGuard,
  clock: TestClock,
  load: { workers: number; workMs: number; clients: number; forMs: number },
): { admitted: number; shed: number; waitMs: number } {
  const queue: { ticket: Ticket; since: number }[] = [];
  let finished = 0;
  const seen = { admitted: 0, shed: 0, waitMs: 0 };
  for (let ms = 0; ms < load.forMs; ms += 10) {
    clock.advance(10);
    while (queue.length < load.clients) {
      const ticket = guard.enter("service", "normal");
      if (ticket === undefined) {
        seen.shed += 1;
        break;
      }
      seen.admitted += 1;
      queue.push({ ticket, since: clock.mono() });
    }
    finished += (load.workers * 10) / load.workMs;
    for (; finished >= 1 && queue.length > 0; finished -= 1) {
      const { ticket, since } = queue.shift() as (typeof queue)[0];
      const waitMs = Math.max(load.workMs, clock.mono() - since);
      if (ms > load.forMs - 1000) seen.waitMs = Math.max(seen.waitMs, waitMs);
      ticket.leave();
      ticket.sample(waitMs);
    }
  }
  for (const { ticket } of queue) ticket.leave();
  return seen;
}

test("a service that answers as always is never kept from its requests, however many are in flight", () => {
  const { guard, clock } = guardOf();
  assert.equal(simulate(guard, clock, { workers: 3000, workMs: 500, clients: 3000, forMs: 5000 }).shed, 0);
});

test("requests that wait long without an answer are no overload", () => {
  const { guard, clock } = guardOf();
  const tickets = Array.from({ length: 5000 }, () => guard.enter("poll", "normal"));
  clock.advance(60_000);
  assert.ok(tickets.every((ticket) => ticket !== undefined));
  assert.ok(guard.enter("poll", "low") !== undefined);
});

test("a service that falls behind gets fewer requests, until it answers fast again", () => {
  const { guard, clock } = guardOf();
  simulate(guard, clock, { workers: 20, workMs: 20, clients: 15, forMs: 3000 });
  const overloaded = simulate(guard, clock, { workers: 20, workMs: 20, clients: 800, forMs: 4000 });
  assert.ok(overloaded.shed > 0);
  assert.ok(overloaded.waitMs < 200, `${overloaded.waitMs} ms, where a queue of 800 waits 800 ms`);
  assert.ok(overloaded.admitted > 3000, `${overloaded.admitted}: the service is kept busy`);
  simulate(guard, clock, { workers: 20, workMs: 20, clients: 15, forMs: 5000 });
  assert.equal(simulate(guard, clock, { workers: 20, workMs: 20, clients: 15, forMs: 2000 }).shed, 0);
});

test("classes are shed in order: low first, then normal, then high, critical never", () => {
  const { guard, clock } = guardOf();
  simulate(guard, clock, { workers: 20, workMs: 20, clients: 15, forMs: 3000 });
  simulate(guard, clock, { workers: 20, workMs: 20, clients: 800, forMs: 4000 });
  const room = (priority: Priority): number => {
    const tickets: Ticket[] = [];
    for (let i = 0; i < 2000; i += 1) {
      const ticket = guard.enter("service", priority);
      if (ticket === undefined) break;
      tickets.push(ticket);
    }
    for (const ticket of tickets) ticket.leave();
    return tickets.length;
  };
  assert.ok(room("low") < room("normal") && room("normal") < room("high"));
  assert.equal(room("critical"), 2000);
});

test("an event loop that runs late sheds by class; a single pause does not", () => {
  const { guard } = guardOf();
  const shedOf = (priority: Priority): number =>
    Array.from({ length: 100 }, () => guard.enter("service", priority)).filter(
      (ticket) => ticket === undefined,
    ).length;
  guard.loopDelay.observe(5000);
  assert.equal(shedOf("low"), 0);
  for (let i = 0; i < 5; i += 1) guard.loopDelay.observe(150);
  assert.deepEqual([shedOf("critical"), shedOf("high"), shedOf("normal")], [0, 0, 0]);
  assert.ok(shedOf("low") >= 45);
  for (let i = 0; i < 5; i += 1) guard.loopDelay.observe(600);
  assert.ok(shedOf("normal") >= 90 && shedOf("high") >= 45);
  assert.equal(shedOf("critical"), 0);
});

test("shed requests get 503 with Retry-After, health checks and paying plans pass", async (t) => {
  const sidecar = await startSidecar({
    policy: {
      plugins: ["rate-limit"],
      pluginConfig: { "rate-limit": { overload: { low: { paths: ["/reports/*"] } } } },
    },
    upstream: (_request, response) => response.end("ok"),
  });
  t.after(() => sidecar.stop());
  // Keeps this process, and with it the sidecar, from its event loop for most of the time.
  let busy = true;
  const hog = (): void => {
    const end = performance.now() + 220;
    while (performance.now() < end);
    if (busy) setTimeout(hog, 1);
  };
  hog();
  let shed: Response | undefined;
  for (let i = 0; i < 100 && shed === undefined; i += 1) {
    const answer = await fetch(`${sidecar.url}/reports/daily`);
    if (answer.status === 503) shed = answer;
  }
  assert.equal((await fetch(`${sidecar.url}/healthz`)).status, 200);
  busy = false;
  assert.equal(shed?.headers.get("retry-after"), "1");
  const problem = (await shed?.json()) as Record<string, unknown>;
  assert.equal(problem["code"], "overloaded");
  assert.equal(problem["type"], "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
  assert.match(
    await sidecar.metrics(),
    /outrigger_overload_shed_total\{.*priority="low",cause="event_loop".*\} 1/,
  );
});

test("a service that falls behind is kept from requests that it could not answer in time", async (t) => {
  const waiting: ServerResponse[] = [];
  const worker = setInterval(() => waiting.shift()?.end("ok"), 5);
  const sidecar = await startSidecar({
    policy: { plugins: ["rate-limit"], pluginConfig: { "rate-limit": {} } },
    upstream: (_request, response) => void waiting.push(response),
  });
  t.after(async () => {
    clearInterval(worker);
    await sidecar.stop();
  });
  const pool = new Pool(sidecar.url, { connections: 300 });
  t.after(() => pool.destroy());
  const ask = async (): Promise<Dispatcher.ResponseData> => {
    const answer = await pool.request({ path: "/", method: "GET" });
    await answer.body.dump();
    return answer;
  };
  for (let i = 0; i < 40; i += 1) assert.equal((await ask()).statusCode, 200);
  let shed: Dispatcher.ResponseData | undefined;
  const client = async (): Promise<void> => {
    for (let i = 0; i < 20 && shed === undefined; i += 1) {
      const answer = await ask();
      if (answer.statusCode !== 200) shed = answer;
    }
  };
  await Promise.all(Array.from({ length: 250 }, client));
  assert.equal(shed?.statusCode, 503);
  assert.equal(shed?.headers["retry-after"], "1");
  assert.match(
    await sidecar.metrics(),
    /outrigger_overload_shed_total\{.*priority="normal",cause="upstream".*\} \d/,
  );
});
