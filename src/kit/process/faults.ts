// Fault injection on the real chain: whatever happens to a plugin, or by it, the sidecar goes on and the fail mode holds.
import type http from "node:http";
import net from "node:net";
import { once } from "node:events";
import type { Example } from "./example.ts";
import { bad, type Finding, good } from "../finding.ts";
import type { LoadedPlugin } from "./loaded.ts";
import { type BrokenHook, type HookName, Scene } from "./scene.ts";

const service: http.RequestListener = (request, response) => {
  request.resume();
  response.end("service");
};
const gone = 10;
const swaps = 10;

type Status = number | string;

/** Yields findings as they come. Rejects when the plugin cannot be set up at all. */
export async function* faultFindings(loaded: LoadedPlugin, example: Example): AsyncGenerator<Finding> {
  const scene = await Scene.of(loaded, example, { upstream: service });
  let usual: Status;
  try {
    usual = await scene.ask();
    if (typeof usual === "string") yield bad("example", `${requestText(example)}: ${usual}`);
    else yield good("example", `${requestText(example)} is answered ${usual}`);
    for (const hook of scene.hooks) yield* hookFaults(scene, loaded, hook, usual);
    yield await manyPolicies(scene);
  } finally {
    await scene.sidecar.stop();
  }
  yield everythingClosed(scene);
  yield await clientGone(loaded, example, usual);
  yield await storeDown(loaded, example, usual);
  yield await upstreamDead(loaded, example, usual);
}

const requestText = ({ request: { method, path } }: Example): string => `${method} ${path}`;
const isClosed = ({ definition: { failMode, security } }: LoadedPlugin): boolean =>
  security || failMode === "closed";

/** One request with a hook out of order, then one as before. */
async function* hookFaults(
  scene: Scene,
  loaded: LoadedPlugin,
  hook: HookName,
  usual: Status,
): AsyncGenerator<Finding> {
  // Whether an upstream's failure becomes an answer is asked only where one fails: see "service dead".
  if (hook === "onError") return;
  const ways: readonly BrokenHook["how"][] = hook === "onComplete" ? ["throws"] : ["throws", "hangs"];
  for (const how of ways) {
    const wanted = wantedWith(loaded, hook, usual);
    scene.broken = { hook, how };
    const during = await scene.ask();
    scene.broken = undefined;
    const after = await scene.ask();
    const mode = isClosed(loaded) ? "closed" : "open";
    const text = `${during} (fails ${mode}), then ${after} again`;
    const isRight = during === wanted && after === usual && (await scene.status("livez")) === 200;
    yield isRight
      ? good(`${hook} ${how}`, text)
      : bad(`${hook} ${how}`, `${text}; ${wanted} and ${usual} were to come`);
  }
}

/** What clients get while that hook is out of order. */
function wantedWith(loaded: LoadedPlugin, hook: HookName, usual: Status): Status {
  if (hook === "onComplete") return usual;
  if (isClosed(loaded)) return 503;
  // Without its word the request goes to the service.
  return hook === "onRequest" ? 200 : usual;
}

/** Policies come and go while requests run: each of them gets its answer. */
async function manyPolicies(scene: Scene): Promise<Finding> {
  const what = `${swaps} policies in a row`;
  const answers: Status[] = [];
  const wrong = new Set<Status>();
  const usual = await scene.ask();
  for (let swap = 1; swap <= swaps; swap++) {
    const before = scene.setups;
    scene.sidecar.setPolicy(scene.policy({ routes: [{ path: "/*", timeout: 1_000 + swap }] }));
    const isSet = await scene.until(async () => {
      answers.push(await scene.ask());
      return scene.setups > before;
    });
    if (!isSet) return bad(what, `policy ${swap} was not taken in time`);
  }
  for (const answer of answers) if (answer !== usual) wrong.add(answer);
  const text = `${answers.length} requests meanwhile`;
  return wrong.size === 0 ? good(what, text) : bad(what, `${text}, some answered ${[...wrong].join(", ")}`);
}

function everythingClosed({ setups, closes, inits, disposes }: Scene): Finding {
  const text = `${setups} set up, ${closes} closed; ${inits} begun, ${disposes} ended`;
  const isRight = setups === closes && inits === disposes;
  return isRight
    ? good("everything is closed", text)
    : bad("everything is closed", `${text}: close and dispose must end`);
}

/** Clients that go away while the service thinks. */
async function clientGone(loaded: LoadedPlugin, example: Example, usual: Status): Promise<Finding> {
  const what = `${gone} clients gone`;
  const waiting: http.ServerResponse[] = [];
  let holds = true;
  const scene = await Scene.of(loaded, example, {
    upstream(request, response) {
      request.resume();
      if (holds) waiting.push(response);
      else response.end("service");
    },
  });
  try {
    const sockets = Array.from({ length: gone }, () => send(scene.sidecar.port, example));
    const arrived = await scene.until(() => waiting.length === gone || scene.ended >= gone);
    for (const socket of sockets) socket.destroy();
    holds = false;
    for (const response of waiting) response.end("late");
    const ended = await scene.until(() => scene.ended >= gone);
    const over = scene.ended;
    const after = await scene.ask();
    const text = `${over} exchanges ended, then ${after}`;
    if (arrived && ended && after === usual) return good(what, text);
    return bad(what, `${text}; ${gone} and ${usual} were to come`);
  } finally {
    await scene.sidecar.stop();
  }
}

function send(port: number, { request: { method, path, headers } }: Example): net.Socket {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {});
  const lines = Object.entries({ host: "127.0.0.1", ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  return socket;
}

/** A Redis that nobody answers for: there is a store, and each of its commands fails. */
async function storeDown(loaded: LoadedPlugin, example: Example, usual: Status): Promise<Finding> {
  const scene = await Scene.of(loaded, example, {
    upstream: service,
    redisUrl: `redis://127.0.0.1:${await closedPort()}`,
  });
  try {
    const during = await scene.ask();
    const isRight = during === usual || (isClosed(loaded) && during === 503);
    const isSound = (await scene.status("livez")) === 200;
    const text = `${during}${during === usual ? ", as with a store" : ""}`;
    const wanted = isClosed(loaded) ? `${usual} or 503 was to come` : `${usual} was to come: it fails open`;
    return isRight && isSound ? good("store down", text) : bad("store down", `${text}; ${wanted}`);
  } finally {
    await scene.sidecar.stop();
  }
}

/** Nobody listens where the service should be. */
async function upstreamDead(loaded: LoadedPlugin, example: Example, usual: Status): Promise<Finding> {
  const scene = await Scene.of(loaded, example, { upstream: `http://127.0.0.1:${await closedPort()}` });
  try {
    const during = await scene.ask();
    const again = await scene.ask();
    // A plugin that answers by itself, or turns the failure into an answer, may.
    const mayAnswer = scene.hooks.has("onRequest") || scene.hooks.has("onError");
    const isRight = during === 502 || (mayAnswer && typeof during === "number");
    const isSound = (await scene.status("livez")) === 200 && again === during;
    const text = `${during}, then ${again}`;
    return isRight && isSound
      ? good("service dead", text)
      : bad("service dead", `${text}; 502 was to come, or ${usual}`);
  } finally {
    await scene.sidecar.stop();
  }
}

async function closedPort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
