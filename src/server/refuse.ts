// Refuses requests that no chain sees. Each gets an answer if one can still be sent, one log line, one count, and the
// end of its connection.
import type { Socket } from "node:net";
import type { Counter, Logger, Metrics } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { LiveResponse } from "../runtime/response.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { ServerStream } from "../exchange/server-stream.ts";
import { peerOf } from "../client/peer.ts";
import { ClientWriter } from "../exchange/respond.ts";
import { answerBare, endConnection, isHandshakeError, parserError } from "./http1/bare-answer.ts";
import type { Carried } from "./accept.ts";

/** The known parts of a request that was refused before it was read as a whole. */
interface Refusal {
  readonly error: GatewayError;
  readonly method?: string | undefined;
  readonly target?: string | undefined;
  readonly peer: string;
}

const toldEveryMs = 60_000;
type RefusingPolicy = Pick<RoutedPolicy, "audit" | "snapshot">;

export class Refusals {
  readonly #limits: ClientLimits;
  readonly #logger: Logger;
  readonly #count: (...values: string[]) => Counter;
  // Connections that were refused once: later errors of the parser on them are ignored.
  readonly #refused = new WeakSet<Socket>();
  #crowdToldMono = -Infinity;
  #proxyToldMono = -Infinity;

  readonly #policy: () => RefusingPolicy | undefined;

  /** @param policy the one in force: its cookies may be what makes a head too large, so the refusal expires them */
  constructor(
    limits: ClientLimits,
    logger: Logger,
    metrics: Metrics,
    policy: () => RefusingPolicy | undefined,
  ) {
    this.#policy = policy;
    this.#limits = limits;
    this.#logger = logger;
    this.#count = metrics.counter(
      "outrigger_refused_requests_total",
      "Requests refused before any route: malformed, ambiguous, too slow, no policy",
      ["code"],
    );
  }

  /** Refuses a request that was read. */
  request(stream: ServerStream, error: GatewayError): void {
    const { method, target, peer, socket } = stream;
    const id = this.#record({ error, method, target, peer });
    if (socket !== null) this.#refused.add(socket);
    const writer = new ClientWriter(stream, noEvents, this.#limits, peer);
    const response = LiveResponse.fromError(error, id);
    response.fields.set("X-Request-Id", id);
    stream.open({
      onBlocked: () => writer.blocked(),
      onWritable: () => writer.drained(),
      onHalfClosed: () => {},
      onMalformed: () => false,
      onClose: () => writer.settle(),
    });
    writer.head(response, true);
    // Closing on unread bytes would reset the connection before the client has read the answer.
    if (stream.complete) writer.endWhole();
    else {
      writer.endHeld();
      const drop = this.#limits.lingering.add(stream, () => writer.close());
      stream.read({ onData: () => {}, onEnd: drop, onBroken: drop, onStall: () => {} });
      stream.resume();
    }
  }

  /**
   * Closes a connection beyond its client's share, or with too many requests at once; counted, logged once a minute.
   */
  crowding(socket: Socket, what: "connections" | "pipelined requests" = "connections"): void {
    this.#count("overloaded").inc();
    const nowMono = performance.now();
    if (nowMono - this.#crowdToldMono > toldEveryMs) {
      this.#crowdToldMono = nowMono;
      const clientIp = peerOf(socket);
      this.#logger.warn(
        { clientIp },
        `client has its share of ${what} (OUTRIGGER_CLIENT_SHARE): more are closed; told once a minute`,
      );
    }
    socket.destroy();
  }

  /** Drops a trusted proxy's connection whose PROXY head is wrong; logged once a minute. */
  proxyHead(reason: string, socket: Socket): void {
    this.#count("malformed_request").inc();
    const nowMono = performance.now();
    if (nowMono - this.#proxyToldMono > toldEveryMs) {
      this.#proxyToldMono = nowMono;
      this.#logger.warn(
        { peer: peerOf(socket), refusedBecause: `The connection ${reason}.` },
        "connection of a trusted proxy refused: with OUTRIGGER_PROXY_PROTOCOL=accept each must begin with a PROXY " +
          "head; told once a minute",
      );
    }
    socket.destroy();
  }

  /** Records an HTTP/2 connection that was ended for misuse. */
  session(reason: string, socket: Socket): void {
    const error = new GatewayError("malformed_request", `The HTTP/2 connection ${reason}.`);
    this.#record({ error, peer: peerOf(socket) });
  }

  /** Refuses CONNECT: the parser has let go of the connection. */
  connect(target: string, socket: Socket, carried: Carried): void {
    const error = new GatewayError("malformed_request", "CONNECT is not served here.");
    this.#socket(socket, carried, { error, method: "CONNECT", target, peer: peerOf(socket) });
  }

  /** Handles an error of the parser, its time limits or the TLS handshake. */
  broken(error: NodeJS.ErrnoException, socket: Socket, carried: Carried): void {
    if (this.#refused.has(socket)) return;
    // The connection broke by itself, or its handshake failed: no answer can be sent.
    if (error.code === "ECONNRESET" || !socket.writable || isHandshakeError(error)) socket.destroy();
    else if (carried.isAnsweredEarly) {
      // It was answered, logged and counted. The client would take another answer for that to its next request.
      this.#refused.add(socket);
      endConnection(socket, this.#limits.lingering);
    } else if (!this.#tellExchange(error, socket, carried))
      this.#socket(socket, carried, { error: this.#parserError(error), peer: peerOf(socket) });
  }

  /** A body that the parser gave up is reported to its exchange, which answers and logs it. */
  #tellExchange(error: NodeJS.ErrnoException, socket: Socket, { stream }: Carried): boolean {
    if (stream?.handler === undefined) return false;
    // The client left in the middle of its body: that is no refusal.
    const hasLeft = error.code === "HPE_INVALID_EOF_STATE" && !stream.complete;
    if (hasLeft) socket.destroy();
    else if (!stream.handler.onMalformed(this.#parserError(error))) return false;
    this.#refused.add(socket);
    return true;
  }

  #socket(socket: Socket, { isAnswering }: Carried, refusal: Refusal): void {
    const id = this.#record(refusal);
    this.#refused.add(socket);
    // In the middle of an answer, or ahead of one, the client would take these bytes for part of it, or for the answer.
    if (isAnswering) socket.destroy();
    else answerBare(socket, refusal.error, id, this.#limits.lingering);
  }

  #parserError(error: NodeJS.ErrnoException): GatewayError {
    if (error.code !== "HPE_HEADER_OVERFLOW") return parserError(error);
    // Without these, the client would be refused again until the cookies expire by themselves.
    const fields = (this.#policy()?.snapshot.ownedCookies?.expiries ?? []).flatMap((line) => [
      "Set-Cookie",
      line,
    ]);
    return new GatewayError("fields_too_large", "The request head is too large.", { fields });
  }

  #record({ error, method, target, peer }: Refusal): string {
    const requestId = crypto.randomUUID();
    this.#count(error.code).inc();
    const path = target?.split("?", 1)[0]?.slice(0, 256);
    const { status } = error.kind;
    const timestamp = new Date().toISOString();
    const outcome = { status, error: error.code, refusedBecause: error.detail };
    const line = { timestamp, requestId, method, path, ...outcome, clientIp: peer };
    if (error.code === "internal_error") this.#logger.error({ ...line, err: error.cause }, "request failed");
    else this.#logger.warn(line, "request refused");
    this.#policy()?.audit?.refused(error, { requestId, method, path, address: peer ?? "" });
    return requestId;
  }
}

const noEvents = { resumeUpstream: () => {}, onBroken: () => {}, crashed: () => {} };
