// Server streams of HTTP/1.1: both servers for it, and clients over real sockets.
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { ServerStream } from "../../../src/exchange/server-stream.ts";
import { ResponseParser } from "../../../src/http1/response-parser.ts";
import { GatewayError } from "../../../src/plugin-api/errors.ts";
import { createHttp1Server } from "../../../src/server/http1/server.ts";
import { createNetServer } from "../../../src/server/http1-net/server.ts";
import {
  type ClientRequest,
  clientRequest,
  type Received,
  type StreamClient,
  type StreamScene,
} from "./scene.ts";

/** Streams over node:http. */
export const openHttp1 = (): Promise<StreamScene> => open(createHttp1Server);
/** Streams over node:net, with this project's parser. */
export const openHttp1Net = (): Promise<StreamScene> => open(createNetServer);

async function open(create: typeof createHttp1Server | typeof createNetServer): Promise<StreamScene> {
  const arrived: ((stream: ServerStream) => void)[] = [];
  const server = create(
    {
      tls: undefined,
      maxHeaderBytes: 16_384,
      headerTimeoutMs: 10_000,
      keepAliveMs: 10_000,
      maxConnections: 100,
      clientShare: 100,
    },
    {
      onConnection: (socket, serve) => serve(socket),
      onRequest: (stream) => arrived.shift()?.(stream),
      onConnect: (_target, socket) => socket.destroy(),
      onParserError: (error, socket, { stream }) => {
        const problem = new GatewayError("malformed_request", error.message);
        const isEnd = error.code === "HPE_INVALID_EOF_STATE" || error.code === "ECONNRESET";
        if (isEnd || stream?.handler?.onMalformed(problem) !== true) socket.destroy();
      },
      onCrowding: (socket) => socket.destroy(),
      onDrop: () => {},
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  return {
    hasConnections: true,
    async ask(changes) {
      const request = clientRequest(changes);
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
      sockets.push(socket);
      await once(socket, "connect");
      const stream = new Promise<ServerStream>((resolve) => arrived.push(resolve));
      const client = new Http1Client(socket, request);
      return { stream: await stream, client };
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

class Http1Client implements StreamClient {
  readonly received: Promise<Received>;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #isChunked: boolean;

  constructor(socket: Socket, request: ClientRequest) {
    this.#socket = socket;
    this.#isChunked = request.body === "chunked";
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    this.received = receive(socket, request.method);
    socket.write(headOf(request), "latin1");
  }

  send(bytes: string | Buffer): void {
    const chunk = Buffer.from(bytes as string, "latin1");
    if (this.#isChunked) this.#socket.write(`${chunk.length.toString(16)}\r\n`);
    this.#socket.write(chunk);
    if (this.#isChunked) this.#socket.write("\r\n");
  }

  endBody(trailers: readonly string[] = []): void {
    if (this.#isChunked) this.#socket.write(`0\r\n${linesOf(trailers)}\r\n`);
  }

  sendNonsense(): void {
    this.#socket.write("no chunk at all\r\n");
  }

  halfClose(): void {
    this.#socket.end();
  }

  leave(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}

function headOf({ method, target, fields, body, upgrade }: ClientRequest): string {
  const all = ["Host", "service.test", ...fields];
  if (body === "chunked") all.push("Transfer-Encoding", "chunked");
  else if (body !== "none") all.push("Content-Length", String(body));
  if (upgrade !== undefined) all.push("Connection", "Upgrade", "Upgrade", upgrade);
  return `${method} ${target} HTTP/1.1\r\n${linesOf(all)}\r\n`;
}

function linesOf(flat: readonly string[]): string {
  let text = "";
  for (let i = 0; i < flat.length; i += 2) text += `${flat[i]}: ${flat[i + 1]}\r\n`;
  return text;
}

function receive(socket: Socket, method: string): Promise<Received> {
  const got = { interims: [] as number[], status: 0, statusText: "", fields: [] as readonly string[] };
  const body: Buffer[] = [];
  const parser = new ResponseParser({
    onInterim: (status) => got.interims.push(status),
    onHead: (status, statusText, fields) => Object.assign(got, { status, statusText, fields }),
    onBody: (chunk) => {
      body.push(chunk);
      return true;
    },
  });
  parser.begin(method);
  return new Promise((resolve) => {
    const settle = (complete: boolean): void =>
      resolve({
        ...got,
        body: Buffer.concat(body).toString("latin1"),
        trailers: parser.trailers,
        complete,
      });
    socket.on("data", (bytes: Buffer) => {
      const progress = parser.feed(bytes);
      if (progress === "complete" || progress === "invalid") settle(progress === "complete");
    });
    socket.once("end", () => settle(parser.end() === "complete"));
    socket.once("close", () => settle(false));
  });
}
