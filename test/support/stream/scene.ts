// A server stream under test beside its client, whatever carries the bytes between them, and a handler that records
// what it is told and holds the stream to the interface's own promises.
import type { BodyHandler, ServerStream, StreamHandler } from "../../../src/exchange/server-stream.ts";
import type { GatewayError } from "../../../src/plugin-api/errors.ts";

export interface ClientRequest {
  readonly method: string;
  readonly target: string;
  /** name, value, … besides what frames the body. */
  readonly fields: readonly string[];
  /** A number: announced bytes. */
  readonly body: "none" | "chunked" | number;
  readonly upgrade: string | undefined;
}

/** What the client got. */
export interface Received {
  readonly interims: readonly number[];
  readonly status: number;
  readonly statusText: string;
  readonly fields: readonly string[];
  /** One character a byte. */
  readonly body: string;
  readonly trailers: readonly string[];
  /** As far as the client can tell. */
  readonly complete: boolean;
}

export interface StreamClient {
  /** Body, framed as the request announced it; of an upgrade, bytes as they are. */
  send(bytes: string | Buffer): void;
  endBody(trailers?: readonly string[]): void;
  /** Sends what no request may have in its body. */
  sendNonsense(): void;
  /** Ends its side of the connection. */
  halfClose(): void;
  /** Is gone. */
  leave(): void;
  /** Takes nothing any more. */
  pause(): void;
  resume(): void;
  /** Resolves when the response is complete or the connection over. */
  readonly received: Promise<Received>;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
}

export interface Pair {
  readonly stream: ServerStream;
  readonly client: StreamClient;
}

export interface StreamScene extends AsyncDisposable {
  /** Whether an upgrade can be handed one over. */
  readonly hasConnections: boolean;
  /** Whether many requests share one: then what one of them does wrong ends it without a word, and there are no reasons. */
  readonly isHttp2?: true;
  /** One client's request, as it reaches the server. GET of `/` without a body unless told otherwise. */
  ask(request?: Partial<ClientRequest>): Promise<Pair>;
}

/** What is tested: any implementation of the interface. */
export type OpenStreams = () => Promise<StreamScene>;

export function clientRequest(changes: Partial<ClientRequest> = {}): ClientRequest {
  return { method: "GET", target: "/", fields: [], body: "none", upgrade: undefined, ...changes };
}

export class RecordedStream implements StreamHandler, BodyHandler {
  /** What was told, in order; runs of data count once. */
  readonly calls: string[] = [];
  /** What the stream did that the interface rules out; has to stay empty. */
  readonly broken: string[] = [];
  trailers: readonly string[] = [];
  bodyBytes = 0;
  error: GatewayError | undefined = undefined;
  /** Does something at the call of that name. */
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

  /** Resolves when it has been told that. */
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
