// Workers and their primary from start to end: drains, signals, deaths, addresses that cannot be listened on.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import http from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import type { Verified } from "../../src/audit/verify.ts";
import { auditPlace } from "../support/audit.ts";
import { Client, clientsOf, lives, startCrew, startService, type TestCrew } from "../support/crew.ts";
import { mainFile, outrigger, outriggerProcess, startNode } from "../support/process.ts";
import { hammer } from "../support/hammer.ts";
import { eventually, freePort } from "../support/redis.ts";

/** Requests that the service holds until the test ends them. */
const held: http.ServerResponse[] = [];
let service: http.Server & { url: string };
before(async () => {
  service = await startService((request, response) => {
    if (request.url === "/slow") held.push(response);
    else response.end("ok");
  });
});
after(() => {
  service.closeAllConnections();
  service.close();
});

/** Requests that the service holds, all of them; in boxes, or their answers would be awaited here. */
async function slow(...clients: readonly Client[]): Promise<{ answer: ReturnType<Client["get"]> }[]> {
  const before = held.length;
  const running = clients.map((client) => ({ answer: client.get("/slow") }));
  while (held.length < before + clients.length) await delay(2);
  return running;
}

describe("workers that end", () => {
  const start = (drainMs: number, env: Readonly<Record<string, string>> = {}): Promise<TestCrew> =>
    startCrew({
      policy: { plugins: ["logging"], ...("OUTRIGGER_AUDIT_FILE" in env && { audit: { mode: "blocking" } }) },
      upstream: service.url,
      env: { OUTRIGGER_DRAIN_MS: String(drainMs), ...env },
    });

  it("SIGTERM: unready, what is in flight on any worker is served, exit 0, lines and records flushed, nobody is left", async () => {
    using place = auditPlace();
    const crew = await start(10_000, place.env);
    const clients = await clientsOf(crew);
    const running = await slow(...clients);
    const pids = [...crew.pids().values()];
    assert.equal(pids.length, 2);
    // A terminal sends the signal to all processes.
    pids.forEach((pid) => process.kill(pid, "SIGTERM"));
    crew.child.kill("SIGTERM");
    await crew.said('"msg":"draining"');
    assert.equal(await crew.ready(), 503);
    held.splice(0).forEach((response) => response.end("served"));
    for (const { answer } of running) assert.equal((await answer).body, "served");
    const { code, stderr } = await crew.end;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(crew.lines().filter(({ path }) => path === "/slow").length, clients.length);
    assert.deepEqual(pids.filter(lives), []);
    clients.forEach((client) => client.close());
    const verified = await outrigger(["audit", "verify", "--json"], place.env);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    const { chains } = JSON.parse(verified.stdout) as Verified;
    assert.deepEqual(
      chains.map(({ chain, to, signedTo }) => [chain.split("#")[1], to === signedTo]),
      [
        // The primary's.
        [undefined, true],
        ["1", true],
        ["2", true],
      ],
    );
  });

  it("SIGTERM under traffic that does not pause: every connection is answered until none is let in", async () => {
    // What is let in last has a tenth of it to be answered, which must do where others take the machine, too.
    const crew = await start(6_000);
    const hammered = hammer(crew.url, { kept: 8, anew: 16 });
    await crew.until(1, ({ msg }) => msg === "request");
    const { code } = await crew.stop();
    const { answered, failures } = await hammered;
    assert.deepEqual([code, failures], [0, []], `beside ${answered} answered`);
  });

  it("a second signal ends all of them at once", async () => {
    const crew = await start(60_000);
    const client = new Client(crew.url);
    const [running] = await slow(client);
    const failed = assert.rejects(running?.answer ?? Promise.resolve());
    crew.child.kill("SIGTERM");
    await crew.said('"msg":"draining"');
    crew.child.kill("SIGTERM");
    assert.equal((await crew.end).code, 143);
    await failed;
    await eventually("no worker is left", () => [...crew.pids().values()].every((pid) => !lives(pid)));
    held.pop();
    client.close();
  });

  it("one that hangs in its drain is killed at the limit", async () => {
    const crew = await start(200);
    const [hanging] = [...crew.pids().values()] as [number];
    process.kill(hanging, "SIGSTOP");
    const { code } = await crew.stop();
    assert.equal(code, 0);
    assert.equal(lives(hanging), false);
    const line = crew.lines().find(({ msg }) => String(msg).startsWith("worker did not drain"));
    assert.equal(line?.["pid"], hanging);
  });

  it("one that hangs and is killed leaves no client waiting: the other takes what was on its way to it", async () => {
    const crew = await start(1_000);
    const [hanging] = [...crew.pids().values()] as [number];
    process.kill(hanging, "SIGSTOP");
    const clients = Array.from({ length: 8 }, () => new Client(crew.url));
    const results = clients.map((client) =>
      client.get("/").then(
        ({ status }) => status,
        (error: NodeJS.ErrnoException) => error.code,
      ),
    );
    const settled: unknown[] = [];
    for (const result of results) void result.then((value) => settled.push(value));
    await eventually("all but one are served by the other", () => settled.length === 7);
    process.kill(hanging, "SIGKILL");
    await Promise.all(results);
    assert.deepEqual(settled, Array<number>(8).fill(200));
    clients.forEach((client) => client.close());
    await crew.stop();
  });

  it("one that hangs holds no policy up: the others go on, and it is replaced before it can wake with the old one", async () => {
    const crew = await start(1_000);
    const [hanging] = [...crew.pids().values()] as [number];
    process.kill(hanging, "SIGSTOP");
    crew.setPolicy({
      plugins: ["transform"],
      pluginConfig: { transform: { addResponseHeaders: { "x-mark": "new" } } },
    });
    const [passed] = await crew.until(
      1,
      ({ msg }) => msg === "worker does not respond; applying the new policy without it",
    );
    assert.equal(passed?.["pid"], hanging);
    const [killed] = await crew.until(1, ({ msg }) => msg === "worker does not respond; killing it");
    assert.deepEqual([killed?.["pid"], killed?.["behind"]], [hanging, true]);
    await crew.until(3, ({ msg }) => msg === "worker is serving");
    await eventually("it is ready", async () => (await crew.ready()) === 200);
    const clients = Array.from({ length: 8 }, () => new Client(crew.url));
    const answers = await Promise.all(clients.map((client) => client.get("/")));
    assert.deepEqual(new Set(answers.map(({ fields }) => fields["x-mark"])), new Set(["new"]));
    clients.forEach((client) => client.close());
    await crew.stop();
  });

  it("POST /drain reaches all: unready, and every connection is asked to go", async () => {
    const crew = await start(10_000);
    const clients = await clientsOf(crew);
    assert.equal((await fetch(`${crew.adminUrl}/drain`, { method: "POST" })).status, 202);
    assert.equal(await crew.ready(), 503);
    const fresh = Array.from({ length: 24 }, () => new Client(crew.url));
    const answers = await Promise.all(fresh.map((client) => client.get("/")));
    assert.deepEqual([...new Set(answers.map(({ fields }) => fields.connection))], ["close"]);
    [...clients, ...fresh].forEach((client) => client.close());
    assert.equal((await crew.stop()).code, 0);
  });

  it("the primary dies: its workers serve what is in flight and end", async () => {
    const crew = await start(10_000);
    const clients = await clientsOf(crew);
    const running = await slow(...clients);
    const pids = [...crew.pids().values()];
    crew.child.kill("SIGKILL");
    await once(crew.child, "exit");
    held.splice(0).forEach((response) => response.end("served"));
    for (const { answer } of running) assert.equal((await answer).body, "served");
    await eventually("no worker is left", () => !pids.some(lives));
    clients.forEach((client) => client.close());
  });
});

describe("workers that cannot start", () => {
  it("end the sidecar with exit code 1, and the reason", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const { code, stderr } = await outriggerProcess(["run"], {
      OUTRIGGER_WORKERS: "2",
      OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
      OUTRIGGER_ADMIN: "127.0.0.1:0",
    });
    server.close();
    assert.equal(code, 1);
    assert.equal(stderr, `OUTRIGGER_LISTEN: 127.0.0.1:${port} is in use\n`);
  });
});

describe("workers that are still starting", () => {
  it("one that is killed is replaced; ready only when all of them serve", async () => {
    const port = await freePort();
    const sidecar = startNode([mainFile, "run"], {
      OUTRIGGER_WORKERS: "3",
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: `127.0.0.1:${port}`,
      OUTRIGGER_UPSTREAM: service.url,
    });
    const { pid } = sidecar.child;
    const children = (): number[] =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean).map(Number);
    await eventually("there are workers", () => children().length === 3);
    const [victim] = children() as [number];
    process.kill(victim, "SIGKILL");
    const readiness = async (): Promise<string> =>
      await fetch(`http://127.0.0.1:${port}/readyz?verbose`).then(
        (answer) => answer.text(),
        () => "",
      );
    try {
      let text = "";
      const isReady = async (): Promise<boolean> => (text = await readiness()).trimEnd().endsWith("\nready");
      await eventually("it is ready", isReady);
      assert.match(text, /\[\+\] workers: 3 serving$/m);
      assert.ok(!children().includes(victim));
    } finally {
      sidecar.child.kill("SIGTERM");
    }
    assert.equal((await sidecar.end).code, 0);
  });
});

describe("workers on a unix socket", () => {
  it("share it, in place of one that a killed process left, and take it away with them", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "outrigger-crew-")), "in.sock");
    const env = { OUTRIGGER_LISTEN: `unix:${path}` };
    const options = { policy: { plugins: ["logging"] }, upstream: service.url, env };
    const first = await startCrew(options);
    first.child.kill("SIGKILL");
    await eventually("its workers are gone", () => ![...first.pids().values()].some(lives));
    assert.ok(existsSync(path), "the file is left");
    const crew = await startCrew(options);
    const ask = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const request = http.get({ socketPath: path, path: "/", agent: false }, (response) => {
          response.resume().once("end", () => resolve(response.statusCode ?? 0));
        });
        request.once("error", reject);
      });
    for (let i = 0; i < 40; i++) assert.equal(await ask(), 200);
    const [one, two] = await Promise.all(
      ["1", "2"].map((worker) =>
        crew.metric(`process_cpu_user_seconds_total{service="default",worker="${worker}"}`),
      ),
    );
    assert.ok(Number(one) > 0 && Number(two) > 0);
    assert.equal((await crew.stop()).code, 0);
    assert.equal(existsSync(path), false);
  });
});
