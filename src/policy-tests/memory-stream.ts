// The client of a test: a `ServerStream` without a connection. Its request has only a head; it keeps the answer.
import { validateHeaderName, validateHeaderValue } from "node:http";
import type {
  BodyHandler,
  DetachedConnection,
  ServerStream,
  StreamHandler,
} from "../exchange/server-stream.ts";

/** The head of a test's request. */
export interface RequestOfTest {
  readonly method: string;
  readonly target: string;
  /** name, value, name, value … */
  readonly fields: readonly string[];
  /** SPIFFE id in the client's certificate; absent = it has no certificate. */
  readonly peer?: string | undefined;
}

export class MemoryStream implements ServerStream {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly string[];
  readonly httpVersion: string = "1.1";
  /** An address for documentation, which no host has (RFC 5737). */
  readonly peer: string = "192.0.2.1";
  readonly tls: ServerStream["tls"];
  readonly upgrades = false;
  readonly complete = true;
  readonly socket = null;
  readonly shared = false;
  readonly bytesRead = 0;
  readonly bytesWritten = 0;
  readonly waitingBytes = 0;
  finished = false;
  destroyed = false;
  /** Status and fields of the answer; 0 = no answer came. */
  status = 0;
  answered: readonly string[] = [];
  #handler: StreamHandler | undefined = undefined;

  constructor({ method, target, fields, peer }: RequestOfTest) {
    this.tls =
      peer === undefined ? undefined : { certificate: undefined, svid: { id: peer, endsMs: Infinity } };
    this.method = method;
    this.target = target;
    this.fields = fields;
  }

  open(handler: StreamHandler): void {
    this.#handler = handler;
  }

  read(handler: BodyHandler): void {
    process.nextTick(() => handler.onEnd([]));
  }

  pause(): void {}
  resume(): void {}
  awaitBody(): void {}
  interim(): void {}

  takesTrailers(): boolean {
    return false;
  }

  respond(status: number, _statusText: string | undefined, fields: readonly string[]): void {
    for (let i = 0; i < fields.length; i += 2) {
      validateHeaderName(fields[i] as string);
      validateHeaderValue(fields[i] as string, fields[i + 1] as string);
    }
    this.status = status;
    this.answered = fields;
  }

  write(): boolean {
    return true;
  }

  end(): void {
    this.finished = true;
    this.#close();
  }

  endHalf(): void {
    this.end();
  }

  destroy(): void {
    this.destroyed = true;
    this.#close();
  }

  reset(): void {
    this.destroy();
  }

  detach(): DetachedConnection {
    throw new Error("not an upgrade");
  }

  #close(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    process.nextTick(() => handler?.onClose());
  }
}
