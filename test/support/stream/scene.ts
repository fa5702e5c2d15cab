// A server stream under test with its client, whatever connection is between them, and a handler that records its calls
// and checks that the stream keeps the interface's promises.
import type { BodyHandler, ServerStream, StreamHandler } from "../../../src/exchange/server-stream.ts";
import type { GatewayError } from "../../../src/plugin-api/errors.ts";

export interface ClientRequest {
  readonly method: string;
  readonly target: string;
  /** name, value, … without the fields that frame the body. */
  readonly fields: readonly string[];
  /** A number = announced bytes. */
  readonly body: "none" | "chunked" | number;
  readonly upgrade: string | undefined;
}

/** What the client received. */
export interface Received {
  readonly interims: readonly number[];
  readonly status: number;
  readonly statusText: string;
  readonly fields: readonly string[];
  /** One character a byte. */
  readonly body: string;
  readonly trailers: readonly string[];
  /** Whether the response is complete, as far as the client can tell. */
  readonly complete: boolean;
}

export interface StreamClient {
  /** Sends body bytes, framed as the request announced; for an upgrade, raw bytes. */
  send(bytes: string | Buffer): void;
  endBody(trailers?: readonly string[]): void;
  /** Sends bytes that are invalid in a request's body. */
  sendNonsense(): void;
  /** Ends the client's side of the connection. */
  halfClose(): void;
  /** Breaks the connection off. */
  leave(): void;
  /** Stops reading. */
  pause(): void;
  resume(): void;
  /** Resolves when the response is complete or the connection has closed. */
  readonly received: Promise<Received>;
  /** Resolves when the connection has closed. */
  readonly closed: Promise<void>;
}

export interface Pair {
  readonly stream: ServerStream;
  readonly client: StreamClient;
}

export interface StreamScene extends AsyncDisposable {
  /** Whether a stream can hand its connection over to an upgrade. */
  readonly hasConnections: boolean;
  /**
   * Whether many requests share a connection: then a protocol error of one of them ends it without an answer, and there
   * are no reason phrases.
   */
  readonly isHttp2?: true;
  /** Sends one client's request to the server. Default: GET of `/` without a body. */
  ask(request?: Partial<ClientRequest>): Promise<Pair>;
}

/** Opens the implementation under test. */
export type OpenStreams = () => Promise<StreamScene>;

export function clientRequest(changes: Partial<ClientRequest> = {}): ClientRequest {
  return { method: "GET", target: "/", fields: [], body: "none", upgrade: undefined, ...changes };
}

export class RecordedStream implements StreamHandler, BodyHandler {
  /** Calls in order; runs of data count once. */
  readonly calls: string[] = [];
  /** Calls of the stream that the interface forbids; has to stay empty. */
  readonly broken: string[] = [];
  trailers: readonly string[] = [];
  bodyBytes = 0;
  error: GatewayError | undefined = undefined;
  /** Functions to run at the call of that name. */
  readonly on: Record<string, (() => void) | undefined> = {};
  paused = false;
  readonly #body: Buffer[] = [];
  readonly #stream: ServerStream;
  #watchers: (() => void)[] = [];

  constructor(stream: ServerStream) {
    this.#stream = stream;
    stream.open(this);
  }

  get body(): string {
    return Buffer.concat(this.#body).toString("latin1");
  }

  /** Resolves when the call of that name has come. */
  async told(what: string): Promise<void> {
    while (!this.calls.includes(what)) await new Promise<void>((resolve) => this.#watchers.push(resolve));
  }

  pause(): void {
    this.paused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.paused = false;
    this.#stream.resume();
  }

  onData(chunk: Buffer): void {
    if (this.paused) this.broken.push("data while paused");
    if (chunk.length === 0) this.broken.push("empty data");
    this.#body.push(chunk);
    this.bodyBytes += chunk.length;
    this.#bodyCall("data");
  }

  onEnd(trailers: readonly string[]): void {
    this.trailers = trailers;
    if (!this.#stream.complete) this.broken.push("end of what is not complete");
    this.#bodyCall("end");
  }

  onBroken(): void {
    this.#bodyCall("broken");
  }

  onStall(): void {
    this.#bodyCall("stall");
  }

  onBlocked(): void {
    this.#call("blocked");
  }

  onWritable(): void {
    if (!this.calls.includes("blocked")) this.broken.push("writable without having been blocked");
    this.#call("writable");
  }

  onHalfClosed(): void {
    this.#call("half-closed");
  }

  onMalformed(error: GatewayError): boolean {
    this.error = error;
    this.#call("malformed");
    return true;
  }

  onClose(): void {
    this.#call("close");
  }

  #bodyCall(what: string): void {
    if (this.calls.includes("end") || this.calls.includes("broken")) {
      this.broken.push(`${what} after the body's end`);
    }
    this.#note(what);
  }

  #call(what: string): void {
    if (this.calls.includes("close")) this.broken.push(`${what} after the close`);
    this.#note(what);
  }

  #note(what: string): void {
    if (what !== "data" || this.calls.at(-1) !== what) this.calls.push(what);
    this.on[what]?.();
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const wake of watchers) wake();
  }
}
