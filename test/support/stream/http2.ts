// Server streams of HTTP/2: node:http2 sessions that start behind the preface, and clients with one connection each.
import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import type { ServerStream } from "../../../src/exchange/server-stream.ts";
import { Http2Sessions } from "../../../src/server/http2/sessions.ts";
import {
  type ClientRequest,
  clientRequest,
  type Received,
  type StreamClient,
  type StreamScene,
} from "./scene.ts";

export async function openHttp2(): Promise<StreamScene> {
  const arrived: ((stream: ServerStream) => void)[] = [];
  const sessions = new Http2Sessions(
    {
      maxHeaderBytes: 16_384,
      headerTimeoutMs: 10_000,
      keepAliveMs: 10_000,
      http2Streams: 100,
      maxConnections: 100,
      clientShare: 100,
    },
    {
      clientOf: () => undefined,
      onRequest: (stream) => arrived.shift()?.(stream),
      onRefused: (stream) => stream.reset(),
      onMisuse: () => {},
    },
  );
  const server = net.createServer((socket) => sessions.accept(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const clients: http2.ClientHttp2Session[] = [];
  return {
    hasConnections: false,
    isHttp2: true,
    async ask(changes) {
      const client = http2.connect(`http://127.0.0.1:${port}`);
      clients.push(client);
      client.on("error", () => {});
      const stream = new Promise<ServerStream>((resolve) => arrived.push(resolve));
      return { client: new Http2Client(client, clientRequest(changes)), stream: await stream };
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      sessions.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

class Http2Client implements StreamClient {
  readonly received: Promise<Received>;
  readonly closed: Promise<void>;
  readonly #session: http2.ClientHttp2Session;
  readonly #stream: http2.ClientHttp2Stream;
  #trailers: readonly string[] = [];
  /** Bytes left of an announced body. */
  #left: number;

  constructor(session: http2.ClientHttp2Session, request: ClientRequest) {
    this.#session = session;
    const { method, target, fields, body } = request;
    const head = [
      ":method",
      method,
      ":path",
      target,
      ":authority",
      "service.test",
      ":scheme",
      "http",
      ...fields,
    ];
    if (typeof body === "number") head.push("content-length", String(body));
    this.#left = typeof body === "number" ? body : Infinity;
    this.#stream = session.request(head, {
      endStream: body === "none",
      waitForTrailers: body === "chunked",
    });
    this.#stream.on("wantTrailers", () => this.#stream.sendTrailers(objectOf(this.#trailers)));
    this.received = receive(this.#stream);
    this.closed = new Promise((resolve) => this.#stream.once("close", () => resolve()));
  }

  send(bytes: string | Buffer): void {
    const chunk = Buffer.from(bytes as string, "latin1");
    this.#left -= chunk.length;
    if (this.#left > 0) this.#stream.write(chunk);
    else this.#stream.end(chunk);
  }

  endBody(trailers: readonly string[] = []): void {
    this.#trailers = trailers;
    this.#stream.end();
  }

  sendNonsense(): void {
    throw new Error("not over HTTP/2");
  }

  halfClose(): void {
    this.#stream.end();
  }

  leave(): void {
    this.#session.destroy();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }
}

function objectOf(flat: readonly string[]): Record<string, string> {
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? ""]] : [])));
}

function receive(stream: http2.ClientHttp2Stream): Promise<Received> {
  const got = { interims: [] as number[], status: 0, statusText: "", fields: [] as readonly string[] };
  const body: Buffer[] = [];
  let trailers: readonly string[] = [];
  stream.on("headers", (headers) => got.interims.push(Number(headers[":status"])));
  stream.on("response", (headers, _flags, raw: string[]) => {
    Object.assign(got, { status: headers[":status"], fields: raw });
  });
  stream.on("trailers", (_trailers, _flags, raw: string[]) => (trailers = raw));
  stream.on("data", (chunk: Buffer) => body.push(chunk));
  stream.on("error", () => {});
  return new Promise((resolve) => {
    const settle = (complete: boolean): void =>
      resolve({ ...got, body: Buffer.concat(body).toString("latin1"), trailers, complete });
    const isWhole = (): boolean => stream.readableEnded && !stream.aborted && stream.rstCode === 0;
    // A reset is reported after the end that it causes.
    stream.once("end", () => setImmediate(() => settle(isWhole())));
    stream.once("close", () => settle(isWhole()));
  });
}
