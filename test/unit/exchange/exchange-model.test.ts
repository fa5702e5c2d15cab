// The exchange under any events in any order: from its client, its service, its hooks, its operator. The model knows
// only what must hold in the end, however the exchange got there.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { GatewayError } from "../../../src/plugin-api/errors.ts";
import { buildHouse, type Case, ExchangeScene } from "../../support/exchange-scene.ts";
import type { MemoryCall } from "../../support/transport/memory.ts";

type Step = (scene: ExchangeScene) => void;
const onCall =
  (act: (call: MemoryCall) => void): Step =>
  ({ transport }) =>
    transport.calls.forEach(act);
const onHook =
  (act: (pending: ExchangeScene["pending"][number]) => void): Step =>
  ({ pending }) => {
    const first = pending.shift();
    if (first !== undefined) act(first);
  };
const piece = Buffer.alloc(40 * 1024, "x");
const refusal = new GatewayError("forbidden", "Not now.");

/** Another length than its body has. */
function announce(hook: ExchangeScene["pending"][number], length: string): void {
  hook.response?.fields.set("Content-Length", length);
  hook.settle(undefined);
}

const steps: Readonly<Record<string, Step>> = {
  "the client sends a part of its body": ({ stream }) => stream.client.send("0123456789"),
  "the client sends more than is taken": ({ stream }) => stream.client.send("x".repeat(200)),
  "the client ends its body": ({ stream }) => stream.client.endBody(["X-Sum", "1"]),
  "the client sends what cannot be read": ({ stream }) => stream.client.sendNonsense(),
  "the client ends its side": ({ stream }) => stream.client.halfClose(),
  "the client leaves": ({ stream }) => stream.client.leave(),
  "the client takes nothing": ({ stream }) => stream.client.pause(),
  "the client takes what there is": ({ stream }) => stream.client.resume(),
  "a hook lets it go on": onHook((hook) => hook.settle(undefined)),
  "a hook answers": onHook((hook) => {
    hook.response?.replaceBody("another");
    hook.settle(hook.response === undefined ? { action: "respond", status: 203, body: "own" } : undefined);
  }),
  "a hook announces less than there is": onHook((hook) => announce(hook, "1")),
  "a hook announces more than there is": onHook((hook) => announce(hook, "9999")),
  "a hook refuses": onHook((hook) => hook.settle({ action: "reject", error: refusal })),
  "a hook breaks": onHook((hook) => hook.fail()),
  "the service sends an interim response": onCall((call) => call.interim()),
  "the service answers in full": onCall((call) => call.head(200, ["Content-Length", "3"])),
  "the service begins a stream": onCall((call) => call.head(200, ["Trailer", "X-Sum"])),
  "the service has nothing new": onCall((call) => call.head(304, [])),
  "the service sends three bytes": onCall((call) => call.data(Buffer.from("abc"))),
  "the service sends a lot": onCall((call) => call.data(piece)),
  "the service ends its answer": onCall((call) => call.finish()),
  "the service breaks off": onCall((call) => call.fail()),
  "the service takes no more": onCall((call) => (call.full = true)),
  "the service takes on": onCall((call) => call.drain()),
  "the caller may not go on": ({ exchange, outcomes }) => {
    if (outcomes.length === 0) exchange.revoke(refusal, "revoked");
  },
  "the process ends": ({ exchange }) => exchange.shutDown(),
  "the sidecar drains": (scene) => (scene.draining = true),
};

class Command implements fc.AsyncCommand<object, ExchangeScene> {
  readonly #name: string;
  readonly #inSameTurn: boolean;

  constructor(name: string, inSameTurn: boolean) {
    this.#name = name;
    this.#inSameTurn = inSameTurn;
  }

  check(): boolean {
    return true;
  }

  async run(_model: object, scene: ExchangeScene): Promise<void> {
    steps[this.#name]?.(scene);
    if (!this.#inSameTurn) await turn();
    holds(scene);
  }

  toString(): string {
    return this.#inSameTurn ? `${this.#name}, and at once` : this.#name;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What must be so at any time. */
function holds({ outcomes, ended, problems, transport, began }: ExchangeScene): void {
  assert.deepEqual(problems, []);
  assert.deepEqual(
    transport.calls.flatMap(({ broken }) => broken),
    [],
  );
  assert.ok(outcomes.length <= 1 && ended <= 1 && began === 1, "begun once, told once, ended once");
  assert.equal(outcomes.length, ended);
  assert.ok(transport.calls.length <= 1, "forwarded once");
}

/** Lets everything that is waited for come, then has the client leave. */
async function bringToAnEnd(scene: ExchangeScene): Promise<void> {
  const { stream, transport, pending } = scene;
  for (let round = 0; round < 4; round += 1) {
    for (const hook of pending.splice(0)) hook.settle(undefined);
    stream.client.resume();
    for (const call of transport.calls) {
      call.drain();
      call.head(200, []);
      call.finish();
    }
    await turn();
    await turn();
  }
  stream.client.leave();
  for (let round = 0; round < 4; round += 1) {
    for (const hook of pending.splice(0)) hook.settle(undefined);
    await turn();
  }
}

async function endsWell(scene: ExchangeScene): Promise<void> {
  await bringToAnEnd(scene);
  holds(scene);
  const { outcomes, stream, transport, clients, exchange } = scene;
  assert.equal(outcomes.length, 1, "told of its end");
  assert.ok(exchange.over && exchange.live.over);
  assert.deepEqual(
    transport.calls.filter(({ over }) => !over),
    [],
    "no call is left open",
  );
  assert.deepEqual([clients.buffers.taken, clients.lingering.size], [0, 0]);
  const [outcome] = outcomes;
  const received = await stream.client.received;
  if (received.complete) assert.equal(outcome?.status, received.status);
  if (["upstream-aborted", "failed", "shutdown"].includes(outcome?.end ?? "")) {
    assert.equal(received.complete, false, "what broke off does not look complete");
  }
  if (outcome?.end === "complete") assert.ok(received.complete, "what is told complete was complete");
}

const anyCase: fc.Arbitrary<Case> = fc.record({
  request: fc.record({
    method: fc.constantFrom("GET", "POST", "HEAD"),
    body: fc.constantFrom("none" as const, "chunked" as const, 20, 1_000),
    fields: fc.constantFrom([], ["Expect", "100-continue"]),
  }),
  late: fc.subarray(["onRequest", "onResponse", "onError"] as const),
  buffers: fc.boolean(),
  refuses: fc.integer({ max: 9, min: 0 }).map((n) => n === 0),
});

const anyCommand = fc
  .tuple(fc.constantFrom(...Object.keys(steps)), fc.boolean())
  .map(([name, inSameTurn]) => new Command(name, inSameTurn));

test("an exchange is answered once, ended once, told once, and leaves nothing open, whatever happens when", async () => {
  const house = await buildHouse();
  let unhandled: unknown;
  process.on("unhandledRejection", (reason) => (unhandled = reason));
  await fc.assert(
    fc.asyncProperty(
      anyCase,
      fc.commands([anyCommand], { maxCommands: 14, size: "max" }),
      async (each, commands) => {
        const scene = new ExchangeScene(house, each);
        scene.exchange.run();
        await fc.asyncModelRun(() => ({ model: {}, real: scene }), commands);
        await endsWell(scene);
      },
    ),
    { numRuns: 2_000 },
  );
  assert.equal(unhandled, undefined);
  // No snapshot is held by an exchange that is over.
  await house.closed();
});
