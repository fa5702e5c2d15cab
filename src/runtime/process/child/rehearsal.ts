// Runs the code between a message and a plugin's hooks before the first request needs it. First calls of code take many
// times as long as later ones, and the hook's time limit runs meanwhile. The plugin's own hooks are not called: they
// may have effects outside.
import type { Hooks } from "../../../plugin-api/contract.ts";
import { FrameReader, FrameWriter } from "../frames.ts";
import type { ExchangeFacts, HookName, HookSubject, LoadFacts, RouteFacts, ToProcess } from "../protocol.ts";
import type { ErrorClass } from "./errors.ts";
import { HookRunner } from "./hook-runner.ts";
import type { Loaded } from "./load-bundle.ts";

const rounds = 30;
const setup = 1;
const route: RouteFacts = {
  pattern: "/*",
  upstream: "http://127.0.0.1:80",
  caseInsensitive: false,
  secretNames: [],
  stripPrefix: null,
  strippedOver: [],
};
const requestFields = ["Host", "rehearsal", "Accept", "*/*", "User-Agent", "outrigger", "X-Request-Id", "1"];

const shown = (round: number): ExchangeFacts => {
  const path = `/${round}`;
  const target = [path, path, path, "", "rehearsal", "http", "1.1"] as const;
  return [path, Date.now(), "GET", ...target, null, false, requestFields, "127.0.0.1", "127.0.0.1", false];
};

/** What plugins commonly do, both synchronously and later. */
const hooks: Hooks = {
  onRequest({ request }) {
    request.fields.set("X-Path", request.path + String(request.fields.get("accept")));
    request.fields.delete("x-request-id");
  },
  async onResponse({ request }, response) {
    await Promise.resolve();
    response.fields.append("X-Method", request.method);
  },
  async recheck({ request }) {
    await Promise.resolve();
    return { action: "respond", status: 200, fields: ["X-Path", request.path], body: "rehearsed" };
  },
};

/** Resolves with the number of answers. */
export async function rehearse(
  ErrorClass: ErrorClass,
  parts: Pick<Loaded, "services"> & { readonly facts: LoadFacts },
): Promise<number> {
  let answers = 0;
  const back = new FrameReader({ messageBytes: 1_048_576, blobBytes: 1_048_576 }, (messages) => {
    for (const [kind] of messages as readonly (readonly [string])[]) if (kind === "answer") answers += 1;
  });
  const answered = new FrameWriter({ write: (bytes) => back.push(bytes) });
  const runner = new HookRunner({
    say: (message) => answered.send(message),
    bytes: (content) => answered.bytes(content),
    readBody: () => Promise.resolve(Buffer.alloc(0)),
    ErrorClass,
  });
  const there = new FrameReader({ messageBytes: 1_048_576, blobBytes: 0 }, (messages) => {
    for (const message of messages)
      runner.run(message as Extract<ToProcess, readonly ["hook", ...unknown[]]>);
  });
  const asked = new FrameWriter({ write: (bytes) => there.push(bytes) });
  const facts: LoadFacts = { ...parts.facts, hooks: ["onRequest", "onResponse", "recheck"] };
  const definition = { setup: () => hooks };
  await runner.setUp(setup, { ...parts, definition, state: undefined, facts }, {}, route);
  let call = 0;
  const ask = (round: number, hook: HookName, shownNow: ExchangeFacts | null, subject: HookSubject): void =>
    asked.send(["hook", (call += 1), setup, round, hook, shownNow, null, subject]);
  for (let round = 1; round <= rounds; round += 1) {
    ask(round, "onRequest", shown(round), null);
    ask(round, "onResponse", null, [200, ["Content-Type", "text/plain"], "upstream", null]);
    ask(round, "recheck", null, null);
    asked.flush();
    // Hooks that return a promise answer in a later turn of the event loop.
    await new Promise(setImmediate);
    answered.flush();
    runner.forget(round);
  }
  return answers;
}
