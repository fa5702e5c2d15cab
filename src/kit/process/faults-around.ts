// Injects faults around a plugin: clients that disconnect, a store and a service that are down or silent.
import { once } from "node:events";
import type http from "node:http";
import net from "node:net";
import { bad, type Finding, good } from "../finding.ts";
import type { Example } from "./example.ts";
import type { LoadedPlugin } from "./loaded.ts";
import { Scene, type Status } from "./scene.ts";

/** How the example's request is answered when nothing is wrong. */
export interface Usual {
  readonly usual: Status;
  /** Whether the request reaches the service; false = the plugin answers it. */
  readonly isServed: boolean;
}

const gone = 10;

export const isClosed = ({ definition: { failMode, security } }: LoadedPlugin): boolean =>
  security || failMode === "closed";

export const answer: http.RequestListener = (request, response) => {
  request.resume();
  response.end("service");
};

export async function* faultsAround(
  loaded: LoadedPlugin,
  example: Example,
  usually: Usual,
): AsyncGenerator<Finding> {
  await using silent = await SilentServer.start();
  yield await clientsGone(loaded, example, usually);
  const store = storeFault(loaded, example, usually);
  yield await store("store down", `redis://127.0.0.1:${await closedPort()}`);
  yield await store("store silent", `redis://127.0.0.1:${silent.port}`);
  const service = serviceFault(loaded, example, usually);
  yield await service("service down", `http://127.0.0.1:${await closedPort()}`, 502);
  yield await service("service silent", `http://127.0.0.1:${silent.port}`, 504);
}

/** Clients disconnect while the service has not answered yet. */
async function clientsGone(loaded: LoadedPlugin, example: Example, { usual }: Usual): Promise<Finding> {
  const what = `${gone} clients gone`;
  const waiting: http.ServerResponse[] = [];
  let holds = true;
  await using scene = await Scene.of(loaded, example, {
    upstream(request, response) {
      if (holds) waiting.push(response);
      else answer(request, response);
    },
  });
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

type StoreFault = (what: string, redisUrl: string) => Promise<Finding>;

/** Makes a test with a configured store of which every command fails. */
function storeFault(loaded: LoadedPlugin, example: Example, { usual }: Usual): StoreFault {
  return async (what, redisUrl) => {
    await using scene = await Scene.of(loaded, example, { upstream: answer, redisUrl });
    const during = await scene.ask();
    const isRight = during === usual || (isClosed(loaded) && during === 503);
    const isSound = (await scene.status("livez")) === 200;
    const wanted = isClosed(loaded) ? `${usual} or 503 was to come` : `${usual} was to come: it fails open`;
    if (!isRight || !isSound) return bad(what, `${during}; ${wanted}`);
    return good(what, `${during}${during === usual ? ", as with a store" : ""}`);
  };
}

type ServiceFault = (what: string, upstream: string, wanted: number) => Promise<Finding>;

function serviceFault(loaded: LoadedPlugin, example: Example, { usual, isServed }: Usual): ServiceFault {
  return async (what, upstream, wanted) => {
    await using scene = await Scene.of(loaded, example, { upstream });
    const during = await scene.ask();
    const again = await scene.ask();
    const right = isServed ? wanted : usual;
    // The plugin's onError may turn the failure into an answer.
    const isRight = during === right || (scene.hooks.has("onError") && typeof during === "number");
    const isSound = (await scene.status("livez")) === 200 && again === during;
    const text = `${during}, then ${again}`;
    return isRight && isSound ? good(what, text) : bad(what, `${text}; ${right} was to come`);
  };
}

async function closedPort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Accepts connections and never answers. */
class SilentServer implements AsyncDisposable {
  readonly #server = net.createServer((socket) => {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => this.#sockets.delete(socket));
  });
  readonly #sockets = new Set<net.Socket>();

  static async start(): Promise<SilentServer> {
    const silent = new SilentServer();
    silent.#server.listen(0, "127.0.0.1");
    await once(silent.#server, "listening");
    return silent;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
