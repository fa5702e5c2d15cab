// Peers that speak exact bytes: a client that sends the given bytes, and a service that does the same.
import net from "node:net";
import type { AddressInfo } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  /** Field lines, lower-case names, in order. */
  readonly fields: readonly (readonly [string, string])[];
  field(name: string): string | undefined;
}

export interface RawClient {
  readonly socket: net.Socket;
  send(bytes: string | Buffer): void;
  /** Everything received so far, latin1. */
  received(): string;
  /** Resolves once the received text satisfies `matches`; rejects if the connection ends before. */
  until(matches: (received: string) => boolean): Promise<string>;
  /**
   * Takes the next complete answer (Content-Length, chunked, or until the close) off the received text. Rejects at a
   * chunk without a size.
   * @param method of the request: HEAD has no body in its answer
   */
  answer(method?: string): Promise<RawAnswer>;
  /** Resolves when the connection has closed. `reset` tells an RST from a FIN. */
  closed: Promise<{ reset: boolean; rest: string }>;
  end(): void;
}

export async function connectRaw(port: number): Promise<RawClient> {
  const socket = net.connect({ port, host: "127.0.0.1" });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return rawClient(socket);
}

export function rawClient(socket: net.Socket): RawClient {
  let text = "";
  let over = false;
  let reset = false;
  const watchers = new Set<() => void>();
  const wake = (): void => watchers.forEach((watch) => watch());
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    wake();
  });
  socket.on("error", (error: NodeJS.ErrnoException) => (reset ||= error.code === "ECONNRESET"));
  const closed = new Promise<{ reset: boolean; rest: string }>((resolve) =>
    socket.once("close", () => {
      over = true;
      wake();
      resolve({ reset, rest: text });
    }),
  );
  const waitFor = <T>(read: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const attempt = (): T | undefined => {
        try {
          return read();
        } catch (error) {
          watchers.delete(watch);
          reject(error);
          return undefined;
        }
      };
      const watch = (): void => {
        const value = attempt();
        if (value !== undefined) {
          watchers.delete(watch);
          resolve(value);
        } else if (over) {
          watchers.delete(watch);
          reject(new Error(`connection over after ${JSON.stringify(text)}`));
        }
      };
      watchers.add(watch);
      watch();
    });
  return {
    socket,
    send: (bytes) => void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    received: () => text,
    until: (matches) => waitFor(() => (matches(text) ? text : undefined)),
    answer: (method) =>
      waitFor(() => {
        const read = readAnswer(text, over, method);
        if (read === undefined) return undefined;
        text = read.rest;
        return read.answer;
      }),
    closed,
    end: () => socket.end(),
  };
}

function readAnswer(
  text: string,
  over: boolean,
  method = "GET",
): { answer: RawAnswer; rest: string } | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd === -1) return undefined;
  const head = text.slice(0, headEnd);
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]);
  const fields = head
    .split("\r\n")
    .slice(1)
    .map(
      (line) =>
        [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()] as const,
    );
  const field = (name: string): string | undefined => fields.find(([key]) => key === name)?.[1];
  const from = headEnd + 4;
  const made = (body: string, end: number): { answer: RawAnswer; rest: string } => ({
    answer: { status, head, body, fields, field },
    rest: text.slice(end),
  });
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return made("", from);
  const length = field("content-length");
  if (length !== undefined) {
    const end = from + Number(length);
    return text.length >= end ? made(text.slice(from, end), end) : undefined;
  }
  if (field("transfer-encoding") === "chunked") return readChunks(text, from, made);
  return over ? made(text.slice(from), text.length) : undefined;
}

function readChunks<T>(text: string, from: number, made: (body: string, end: number) => T): T | undefined {
  let body = "";
  let at = from;
  while (true) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (Number.isNaN(size)) throw new Error(`no chunk size at ${JSON.stringify(text.slice(at, at + 100))}`);
    if (size === 0) {
      const end = text.startsWith("\r\n", lineEnd + 2) ? lineEnd + 4 : text.indexOf("\r\n\r\n", lineEnd) + 4;
      return end < 4 || end > text.length ? undefined : made(body, end);
    }
    if (text.length < lineEnd + 2 + size + 2) return undefined;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

export interface RawService {
  readonly port: number;
  readonly url: string;
  /** Connections so far, in order. */
  readonly connections: RawClient[];
  /** Resolves with the next connection that was not yet returned. */
  next(): Promise<RawClient>;
  close(): void;
}

/** A service whose every byte the test writes. */
export async function startRawService(onConnection?: (client: RawClient) => void): Promise<RawService> {
  const connections: RawClient[] = [];
  const waiting: ((client: RawClient) => void)[] = [];
  let taken = 0;
  const server = net.createServer((socket) => {
    const client = rawClient(socket);
    connections.push(client);
    onConnection?.(client);
    if (waiting.length > 0) {
      taken += 1;
      waiting.shift()?.(client);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    connections,
    next() {
      const ready = connections[taken];
      if (ready === undefined) return new Promise((resolve) => waiting.push(resolve));
      taken += 1;
      return Promise.resolve(ready);
    },
    close() {
      server.close();
      for (const { socket } of connections) socket.destroy();
    },
  };
}

/** A request head in one string. @param fields `"Name: value"` lines; Host is added unless one begins with it */
export function requestText(
  method: string,
  target: string,
  fields: readonly string[] = [],
  body = "",
): string {
  const lines = fields.some((line) => /^host:/i.test(line)) ? fields : ["Host: api.example", ...fields];
  return `${method} ${target} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n${body}`;
}
