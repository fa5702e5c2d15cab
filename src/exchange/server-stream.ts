// The narrow interface between whatever listens for clients and the exchange: one request with its response, whatever
// the version of HTTP. The client's side of what `UpstreamTransport` is to the service: push, with back-pressure and an
// end from either side both ways.
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ReceivedHead } from "../http1/request-head.ts";
import type { ClientTls } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";

/** Told of the request's body, from `read` on. After `onEnd` or `onBroken` nothing follows. */
export interface BodyHandler {
  /** The chunk is the receiver's to keep. */
  onData(chunk: Buffer): void;
  /** It is complete. @param trailers as they came: name, value, … */
  onEnd(trailers: readonly string[]): void;
  /** It will not be complete. */
  onBroken(): void;
  /** Nothing came for as long as `awaitBody` said; told once. */
  onStall(): void;
}

/** Told of everything else. After `onClose`, and after `detach`, nothing follows. */
export interface StreamHandler {
  /** What was written waits for the client to take it; `onWritable` follows, unless the response has been ended. */
  onBlocked(): void;
  /** The response may go on after `write` said false. */
  onWritable(): void;
  /** The client has ended its side of the connection, or left: only what it does with an answer tells. */
  onHalfClosed(): void;
  /** What followed the head cannot be read. @returns whether the client hears of it; else nothing was done */
  onMalformed(error: GatewayError): boolean;
  /** It is over: the response is out, or the connection is gone. Told once. */
  onClose(): void;
}

/** The client's side of an upgrade, for whoever takes it over: nobody reads it meanwhile. */
export interface DetachedConnection {
  readonly side: Duplex;
  /** Bytes that the client has sent behind its request. */
  readonly early: Buffer;
  /** Tells the client that it has what it asked for; called once, before anything is written. @param taken it knows */
  accept(taken: () => void): void;
  /** Ends it; what was ended already still goes out. */
  destroy(): void;
  /** Ends it so that the client cannot take that for a regular end. */
  reset(): void;
}

export interface ServerStream extends ReceivedHead {
  /** Plain address of the connection's other end; "unix" where it has none. */
  readonly peer: string;
  /** Absent without TLS. */
  readonly tls: ClientTls | undefined;
  /** It stands for a call of gRPC, with status and trailers, whatever its version of HTTP. */
  readonly isGrpcWeb?: boolean;
  /** It can be answered by `detach`. */
  readonly upgrades: boolean;
  /** The whole request has come. */
  readonly complete: boolean;
  /** Of the final head, once there is one; 0 before. */
  readonly status: number;
  /** The whole response has left this process. */
  readonly finished: boolean;
  /** Its connection is gone: whatever is written is for nobody. */
  readonly destroyed: boolean;
  /** Whether other streams have the same connection. */
  readonly shared: boolean;
  /** Its connection alone, for what the system tells of it; null = there is none (any more), or others share it. */
  readonly socket: Socket | null;
  /** Bytes of its connection so far; where others share that, of its own bodies. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes of the response that wait in this process for the client to take them. */
  readonly waitingBytes: number;

  /** Who is told; called before anything else. */
  open(handler: StreamHandler): void;

  /** The request's body goes there from now on; it comes by itself unless it was paused. */
  read(handler: BodyHandler): void;
  pause(): void;
  resume(): void;
  /** The client is waited for, and `onStall` called after such a silence; 0 = not any more. */
  awaitBody(stallMs: number): void;

  /** An interim response (RFC 9110 section 15.2), where the client's version has any and the final head is not given. */
  interim(status: number, fields: readonly string[]): void;
  /** Whether trailers can follow the body. @param isSized its length is announced */
  takesTrailers(isSized: boolean): boolean;
  /**
   * The final head, once: it leaves with the first bytes of the body, or at the end of this turn.
   * @param statusText undefined = the usual one
   * @throws Error when something in it cannot be sent; nothing was sent then
   */
  respond(status: number, statusText: string | undefined, fields: readonly string[]): void;
  /** @returns false = wait for `onWritable` */
  write(bytes: Buffer): boolean;
  /**
   * The response is complete.
   * @param trailers name, value, …; dropped where `takesTrailers` was false
   * @throws Error when one cannot be sent
   */
  end(trailers: readonly string[]): void;
  /**
   * Ends our side of the connection, of which the request can be read on: a response of an announced length is complete, or
   * one is out.
   */
  endHalf(): void;
  /** Ends the connection as it is, also behind its response while the request still comes. */
  destroy(): void;
  /** Ends it so that the client cannot take what it has got for complete. */
  reset(): void;
  /**
   * Hands the connection of an upgrade over, in place of a response.
   * @param fields of the 101
   * @throws Error when one cannot be sent; nothing was done then
   */
  detach(fields: readonly string[]): DetachedConnection;
}
