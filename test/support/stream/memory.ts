// Server streams in memory: the interface without a connection behind it, so that its callbacks can come in any order.
import type {
  BodyHandler,
  DetachedConnection,
  ServerStream,
  StreamHandler,
} from "../../../src/exchange/server-stream.ts";
import { GatewayError } from "../../../src/plugin-api/errors.ts";
import {
  type ClientRequest,
  clientRequest,
  type Received,
  type StreamClient,
  type StreamScene,
} from "./scene.ts";

/** Bytes that may wait for a client. */
const roomBytes = 64 * 1024;

export async function openMemory(): Promise<StreamScene> {
  return {
    hasConnections: false,
    async ask(changes) {
      const stream = new MemoryStream(clientRequest(changes));
      return { stream, client: stream.client };
    },
    async [Symbol.asyncDispose]() {},
  };
}

export class MemoryStream implements ServerStream {
  readonly shared = false;
  readonly client: StreamClient;
  readonly method: string;
  readonly target: string;
  readonly httpVersion = "1.1";
  readonly fields: readonly string[];
  readonly peer = "192.0.2.7";
  readonly tls = undefined;
  readonly upgrades = false;
  readonly socket = null;
  complete: boolean;
  finished = false;
  destroyed = false;
  /** Whether the stream ended by `reset`: the client learns that the response is not complete. */
  wasReset = false;
  bytesRead = 0;
  bytesWritten = 0;
  waitingBytes = 0;
  #handler: StreamHandler | undefined = undefined;
  // The request.
  #body: BodyHandler | undefined = undefined;
  readonly #queue: Buffer[] = [];
  #left: number;
  #trailers: readonly string[] = [];
  #paused = false;
  #bodyTold = false;
  #stall: NodeJS.Timeout | undefined = undefined;
  #stallMs = 0;
  // The response.
  #head: { status: number; statusText: string; fields: readonly string[] } | undefined = undefined;
  readonly #interims: number[] = [];
  readonly #written: Buffer[] = [];
  #clientPaused = false;
  #blocked = false;
  #end: readonly string[] | undefined = undefined;
  #settle!: (received: Received) => void;
  #close!: () => void;

  constructor({ method, target, fields, body }: ClientRequest) {
    this.method = method;
    this.target = target;
    const framing =
      body === "chunked"
        ? ["Transfer-Encoding", "chunked"]
        : body === "none"
          ? []
          : ["Content-Length", String(body)];
    this.fields = ["Host", "service.test", ...fields, ...framing];
    this.complete = body === "none";
    this.#bodyTold = this.complete;
    this.#left = typeof body === "number" ? body : Infinity;
    this.client = this.#makeClient();
  }

  #makeClient(): StreamClient {
    return {
      received: new Promise((resolve) => (this.#settle = resolve)),
      closed: new Promise((resolve) => (this.#close = resolve)),
      send: (bytes) => this.#came(Buffer.from(bytes as string, "latin1")),
      endBody: (trailers = []) => this.#bodyEnds(this.#left === Infinity ? trailers : []),
      sendNonsense: () => {
        const handler = this.#handler;
        if (this.destroyed || this.complete || handler === undefined) return;
        const told = handler.onMalformed(new GatewayError("malformed_request", "No chunk."));
        if (!told) this.destroy();
      },
      halfClose: () => {
        if (this.destroyed) return;
        if (this.complete) this.#handler?.onHalfClosed();
        else this.destroy();
      },
      leave: () => this.destroy(),
      pause: () => (this.#clientPaused = true),
      resume: () => this.#clientTakes(),
    };
  }

  get status(): number {
    return this.#head?.status ?? 0;
  }

  open(handler: StreamHandler): void {
    this.#handler = handler;
  }

  read(handler: BodyHandler): void {
    this.#body = handler;
    if (this.destroyed) handler.onBroken();
    else this.#later(() => this.#pump());
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#later(() => this.#pump());
  }

  awaitBody(stallMs: number): void {
    clearTimeout(this.#stall);
    this.#stallMs = stallMs;
    if (stallMs === 0 || this.destroyed) return;
    this.#stall = setTimeout(() => {
      this.#stallMs = 0;
      this.#body?.onStall();
    }, stallMs);
  }

  interim(status: number): void {
    if (this.#head === undefined && !this.destroyed) this.#interims.push(status);
  }

  takesTrailers(isSized: boolean): boolean {
    return !isSized;
  }

  respond(status: number, statusText: string | undefined, fields: readonly string[]): void {
    if (this.#head !== undefined) throw new Error("two heads");
    for (const text of [statusText ?? "", ...fields])
      if (/[\r\n]/.test(text)) throw new Error("a line end in the head");
    this.#head = { status, statusText: statusText ?? "", fields };
    this.#later(() => (this.bytesWritten += 1));
  }

  write(bytes: Buffer): boolean {
    if (this.destroyed) return true;
    if (this.#head === undefined || this.#end !== undefined) throw new Error("no place for a body");
    this.#written.push(bytes);
    this.bytesWritten += bytes.length;
    if (this.#clientPaused) this.waitingBytes += bytes.length;
    if (this.waitingBytes > roomBytes && !this.#blocked) {
      this.#blocked = true;
      this.#handler?.onBlocked();
    }
    return !this.#blocked;
  }

  end(trailers: readonly string[]): void {
    if (this.#end !== undefined) throw new Error("two ends");
    if (this.destroyed) return;
    this.#end = trailers;
    if (this.waitingBytes === 0) this.#finish();
    else this.#handler?.onBlocked();
  }

  endHalf(): void {
    this.#end = [];
    this.#received(true);
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#received(false);
    this.#later(() => this.#over());
  }

  reset(): void {
    this.wasReset = true;
    this.destroy();
  }

  detach(): DetachedConnection {
    throw new Error("not an upgrade");
  }

  #later(act: () => void): void {
    queueMicrotask(act);
  }

  #came(chunk: Buffer): void {
    if (this.destroyed || this.complete) return;
    this.bytesRead += chunk.length;
    this.#left -= chunk.length;
    this.#queue.push(chunk);
    this.awaitBody(this.#stallMs);
    if (this.#left === 0) this.#bodyEnds([]);
    else this.#later(() => this.#pump());
  }

  #bodyEnds(trailers: readonly string[]): void {
    if (this.destroyed || this.complete || (this.#left > 0 && this.#left < Infinity)) return;
    this.complete = true;
    this.#trailers = trailers;
    this.#later(() => this.#pump());
  }

  #pump(): void {
    for (;;) {
      if (this.#paused || this.#bodyTold || this.#body === undefined) return;
      const chunk = this.#queue.shift();
      if (chunk !== undefined) this.#body.onData(chunk);
      else if (this.complete) {
        this.#bodyTold = true;
        this.#body.onEnd(this.#trailers);
      } else return;
    }
  }

  #clientTakes(): void {
    this.#clientPaused = false;
    this.waitingBytes = 0;
    if (this.destroyed) return;
    if (this.#end !== undefined) this.#finish();
    else if (this.#blocked) {
      this.#blocked = false;
      this.#later(() => this.#handler?.onWritable());
    }
  }

  #finish(): void {
    this.#received(true);
    this.#later(() => {
      this.finished = !this.destroyed;
      this.#over();
    });
  }

  #received(complete: boolean): void {
    const at = this.#head?.fields.indexOf("Content-Length") ?? -1;
    const announced = at === -1 ? undefined : this.#head?.fields[at + 1];
    const body = Buffer.concat(this.#written).toString("latin1");
    const { status, statusText, fields } = this.#head ?? { status: 0, statusText: "", fields: [] };
    const isBodiless = this.method === "HEAD" || status === 204 || status === 304;
    const isWhole = announced === undefined || isBodiless || Number(announced) === body.length;
    const trailers = this.#end ?? [];
    const interims = this.#interims;
    this.#settle({ interims, status, statusText, fields, body, trailers, complete: complete && isWhole });
  }

  #over(): void {
    clearTimeout(this.#stall);
    if (this.destroyed && !this.#bodyTold) {
      this.#bodyTold = true;
      this.#body?.onBroken();
    }
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onClose();
    this.#close();
  }
}
