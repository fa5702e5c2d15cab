// Hostile guests, with 64 other connections beside them: their own callers get what the fail mode says, and no other
// request fails or waits.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { EndpointServer } from "../support/endpoint-server.ts";
import { GuestScene, guestHosts } from "../support/wasm/guest-scene.ts";
import { scriptGuest } from "../support/wasm/guests.ts";

/**
 * Most CPU that this process's thread may take between two turns of its event loop, which everybody waits for: several
 * times the time limit of a hook. Times by the clock say nothing on a machine that has other things to do.
 */
const turnMs = 150;
const limits = { timeMs: 20, memoryMiB: 8, restartsPerMinute: 60 };

interface Noticed {
  readonly answered: number;
  readonly failures: readonly string[];
  readonly longestTurnMs: number;
}

/** Others, who never stop asking. */
class Others {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  readonly #clients: Promise<void>[];
  readonly #probe: NodeJS.Timeout;
  #lastCpu = process.threadCpuUsage();
  #ended = false;
  #longestTurnMs = 0;
  #answered = 0;
  #failures: string[] = [];

  constructor(urls: readonly string[]) {
    this.#probe = setInterval(() => this.#look(), 1);
    this.#clients = Array.from({ length: 64 }, (_, index) =>
      this.#askOn(urls[index % urls.length] as string),
    );
  }

  /** What there was to notice since the last time. */
  take(): Noticed {
    this.#look();
    const noticed = {
      answered: this.#answered,
      failures: this.#failures,
      longestTurnMs: this.#longestTurnMs,
    };
    this.#answered = this.#longestTurnMs = 0;
    this.#failures = [];
    return noticed;
  }

  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#clients);
    clearInterval(this.#probe);
    this.#agent.destroy();
  }

  #look(): void {
    const { user, system } = process.threadCpuUsage(this.#lastCpu);
    this.#longestTurnMs = Math.max(this.#longestTurnMs, (user + system) / 1_000);
    this.#lastCpu = process.threadCpuUsage();
  }

  async #askOn(url: string): Promise<void> {
    while (!this.#ended) {
      const result = await new Promise<string>((resolve) => {
        http
          .get(url, { agent: this.#agent }, (answer) => {
            answer.resume().once("close", () => resolve(String(answer.statusCode)));
          })
          .once("error", (error) => resolve(error.message));
      });
      this.#answered += 1;
      if (result !== "200") this.#failures.push(`${url}: ${result}`);
      // Not as fast as it goes: what is measured is the others' wait, not this process's.
      await delay(10);
    }
  }
}

/** What each does, and what its own request gets with fail mode closed. */
const hostile: Readonly<Record<string, { script: string; status: number | readonly number[] }>> = {
  "spin at the request": { script: "request spin", status: 503 },
  "spin at the request's body": { script: "requestBody spin", status: 503 },
  "spin at the response": { script: "response spin", status: 503 },
  "trap at the request": { script: "request trap", status: 503 },
  "trap at the response": { script: "response trap", status: 503 },
  "spin at a tick": { script: "configure period 20\ntick spin", status: [200, 503] },
  "trap at a tick": { script: "configure period 20\ntick trap", status: [200, 503] },
  "trap at the end": { script: "log trap", status: 200 },
  "spin at the end": { script: "done spin", status: 200 },
  exit: { script: "request exit 0", status: 503 },
  recursion: { script: "request recurse", status: 503 },
  "memory without end": { script: "request grow", status: [200, 503] },
  "memory that is not there": { script: "request touch 0", status: 503 },
  "10 MB of log": { script: "request flood 10000", status: [200, 503] },
  "a hoard of shared data": { script: "request hoard 0 20000", status: [200, 503] },
  "a hoard of queue items": { script: "request hoard 1 20000", status: [200, 503] },
  "a hoard of metrics": { script: "request hoard 2 20000", status: [200, 503] },
  "a hoard of queues": { script: "request hoard 3 20000", status: [200, 503] },
  "a hoard of properties": { script: "request hoard 4 20000", status: [200, 503] },
  "a field of 1 MB": { script: "request addlong 0 x-long 900000", status: [200, 413, 431, 500, 502, 503] },
  "100,000 fields": { script: "request addmany 0 x-many 100000", status: [200, 413, 431, 500, 502, 503] },
  "1,000 calls": { script: "request calls nobody 1000 :method=GET :path=/ :authority=a", status: [200, 503] },
  "resumes what is not paused": {
    script: "request resume 0\nrequest resume 1\nresponse resume 0\nresponse resume 1\nlog resume 0",
    status: 200,
  },
  "answers twice": { script: "request respond 200 one\nrequest respond 201 two", status: [200, 201] },
  "pointers that lead nowhere": {
    script: [
      "log",
      "loghuge",
      "key",
      "result",
      "edge",
      "value",
      "body",
      "map",
      "count",
      "lengths",
      "respond",
      "call",
      "shared",
      "random",
      "vector",
    ]
      .map((what) => `request lie ${what}`)
      .join("\n"),
    status: 200,
  },
  "an allocator that lies": {
    script:
      "request lieallocator 1\nrequest get 0 :path\nrequest pairs 0\nrequest lieallocator 2\nrequest get 0 :path\nrequest lieallocator 3\nrequest get 0 :path\nrequest lieallocator 0",
    status: [200, 503],
  },
  // The last: it goes on beside whatever follows.
  "calls without end": {
    script: [
      "request call called 1000 - :method=GET :path=/ :authority=a",
      "call call called 1000 - :method=GET :path=/ :authority=a",
    ].join("\n"),
    status: [200, 503],
  },
};

const slug = (name: string): string => `/${name.replaceAll(/[^a-z0-9]+/gi, "-")}`;

for (const hosts of guestHosts) {
  describe(`hostile guests in ${hosts}`, () => {
    const called = new EndpointServer((_request, response) => response.end("called"));
    let scene: GuestScene;
    let others: Others;
    before(async () => {
      await called.listen();
      const routes = Object.entries(hostile).map(([name, { script }]) => [slug(name), script]);
      scene = await GuestScene.start({
        bytes: await scriptGuest(),
        hosts,
        apart: true,
        routes: {
          ...Object.fromEntries(routes),
          "/neighbour": "request add 0 x-by guest\nresponse add 2 x-by guest",
        },
        // It is well, and not to be ended because the machine of a test is busy.
        entries: { "/neighbour": { limits: { ...limits, timeMs: 5_000 } } },
        entry: {
          limits,
          clusters: { called: called.url },
          failMode: "closed",
          manifest: { needs: { body: { requestBytes: 65_536 } } },
        },
      });
      others = new Others([`${scene.sidecar.url}/`, `${scene.sidecar.url}/neighbour`]);
    });
    after(async () => {
      await others.end();
      await scene[Symbol.asyncDispose]();
      called.close();
    });

    for (const [name, { status }] of Object.entries(hostile)) {
      it(`${name}: nobody else notices`, async () => {
        const isBody = name.includes("body");
        others.take();
        const own = await scene.ask(slug(name), isBody ? { body: "x" } : {});
        // What comes of it may come later.
        await delay(30);
        const again = await scene.ask("/neighbour");
        const { answered, failures, longestTurnMs } = others.take();
        assert.ok([status].flat().includes(own.status), `its own request got ${own.status}`);
        assert.equal(again.headers["x-by"], "guest");
        assert.deepEqual(failures, []);
        assert.ok(longestTurnMs < turnMs, `a turn took ${longestTurnMs.toFixed(0)} ms`);
        assert.ok(answered > 0);
      });
    }
  });
}
