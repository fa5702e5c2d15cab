// The narrow interface between a server for clients and the exchange: one request with its response, in any HTTP
// version. It is for the client's side what `UpstreamTransport` is for the service: push, with backpressure and an end
// from either side in both directions.
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ReceivedHead } from "../http1/request-head.ts";
import type { ClientTls } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";

/** Receives the request's body, from `read` on. Nothing follows `onEnd` or `onBroken`. */
export interface BodyHandler {
  /** The receiver may keep the chunk. */
  onData(chunk: Buffer): void;
  /** The body is complete. @param trailers as received: name, value, … */
  onEnd(trailers: readonly string[]): void;
  /** The body will not be complete. */
  onBroken(): void;
  /** Nothing came for as long as `awaitBody` allows; called once. */
  onStall(): void;
}

/** Receives all other events. Nothing follows `onClose` or `detach`. */
export interface StreamHandler {
  /** Written bytes wait for the client to take them. `onWritable` follows, unless the response has been ended. */
  onBlocked(): void;
  /** The response may continue after `write` returned false. */
  onWritable(): void;
  /** The client has ended its side of the connection, or left: only its reaction to an answer tells which. */
  onHalfClosed(): void;
  /** The bytes after the head cannot be parsed. @returns whether the client is told; false = the handler did nothing */
  onMalformed(error: GatewayError): boolean;
  /** The stream is over: the response is out, or the connection is gone. Called once. */
  onClose(): void;
}

/** The client's side of an upgrade, for the code that takes it over: nothing else reads it meanwhile. */
export interface DetachedConnection {
  readonly side: Duplex;
  /** Bytes that the client has sent after its request. */
  readonly early: Buffer;
  /** Accepts the upgrade; call it once, before anything is written. @param taken called when the client knows */
  accept(taken: () => void): void;
  /** Ends the connection; bytes already ended with `end` still go out. */
  destroy(): void;
  /** Ends the connection so that the client cannot take it for a regular end. */
  reset(): void;
}

export interface ServerStream extends ReceivedHead {
  /** Plain address of the connection's other end; "unix" where it has none. */
  readonly peer: string;
  /** Absent without TLS. */
  readonly tls: ClientTls | undefined;
  /** The request stands for a gRPC call, with status and trailers, whatever its HTTP version. */
  readonly isGrpcWeb?: boolean;
  /** The request can be answered by `detach`. */
  readonly upgrades: boolean;
  /** The whole request has come. */
  readonly complete: boolean;
  /** The status of the final head; 0 before. */
  readonly status: number;
  /** The whole response has left this process. */
  readonly finished: boolean;
  /** The connection is gone: nobody gets what is written. */
  readonly destroyed: boolean;
  /** Whether other streams use the same connection. */
  readonly shared: boolean;
  /**
   * The connection's socket, to ask the system about it; null = there is none (any more), or other streams share it.
   */
  readonly socket: Socket | null;
  /** Bytes of the connection so far; for a shared one, of this stream's bodies. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes of the response that wait in this process for the client to take them. */
  readonly waitingBytes: number;

  /** Sets the receiver of events; call it before anything else. */
  open(handler: StreamHandler): void;

  /** Sends the request's body to `handler` from now on; it flows by itself unless paused. */
  read(handler: BodyHandler): void;
  pause(): void;
  resume(): void;
  /** Calls `onStall` if the client is silent for `stallMs` from now on; 0 = the client is not waited for. */
  awaitBody(stallMs: number): void;

  /** Sends an interim response (RFC 9110 section 15.2), if the client's version has any, before the final head. */
  interim(status: number, fields: readonly string[]): void;
  /** Whether trailers can follow the body. @param isSized whether its length is announced */
  takesTrailers(isSized: boolean): boolean;
  /**
   * Writes the final head, once. It leaves with the first bytes of the body, or at the end of this turn.
   * @param statusText undefined = the usual one for the status
   * @throws Error if something in it cannot be sent; then nothing was sent
   */
  respond(status: number, statusText: string | undefined, fields: readonly string[]): void;
  /** @returns false = wait for `onWritable` */
  write(bytes: Buffer): boolean;
  /**
   * Completes the response.
   * @param trailers name, value, …; dropped if `takesTrailers` was false
   * @throws Error if one cannot be sent
   */
  end(trailers: readonly string[]): void;
  /**
   * Ends this side of the connection, while the request is still read: call it after a response whose announced length
   * is complete, or after any ended response.
   */
  endHalf(): void;
  /** Ends the connection as it is, even after its response while the request still comes. */
  destroy(): void;
  /** Ends the connection so that the client cannot take a partial response for a complete one. */
  reset(): void;
  /**
   * Hands over the connection of an upgrade, in place of a response.
   * @param fields of the 101
   * @throws Error if one cannot be sent; then nothing was done
   */
  detach(fields: readonly string[]): DetachedConnection;
}
