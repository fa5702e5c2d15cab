// Refusals of requests that no chain sees: each gets an answer where one can still be given, one log line, one count,
// and the end of its connection.
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Counter, Logger, Metrics } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { LiveResponse } from "../runtime/response.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import { exchangeOn } from "../exchange/context.ts";
import { dropRest, type Lingering } from "../client/lingering.ts";
import { plainAddress } from "../client/client-address.ts";
import { ClientWriter } from "../exchange/respond.ts";

/** What is known of a request that never became one. */
interface Refusal {
  readonly error: GatewayError;
  readonly method?: string | undefined;
  readonly target?: string | undefined;
  readonly peer?: string | undefined;
}

const crowdToldEveryMs = 60_000;

export class Refusals {
  readonly #limits: ClientLimits;
  readonly #logger: Logger;
  readonly #count: (...values: string[]) => Counter;
  readonly #expiries: () => readonly string[];
  // Connections that were refused once: what the parser still says about them adds nothing.
  readonly #refused = new WeakSet<Socket>();
  #crowdToldMono = -Infinity;

  /** @param expiries `Set-Cookie` values that end cookies of ours which may be what makes a head too large */
  constructor(limits: ClientLimits, logger: Logger, metrics: Metrics, expiries: () => readonly string[]) {
    this.#expiries = expiries;
    this.#limits = limits;
    this.#logger = logger;
    this.#count = metrics.counter(
      "outrigger_refused_requests_total",
      "Requests refused before any route: malformed, ambiguous, too slow, no policy",
      ["code"],
    );
  }

  /** Refuses a request that was read. */
  request(message: IncomingMessage, res: ServerResponse, error: GatewayError): void {
    const { method, url: target, socket } = message;
    const id = this.#record({ error, method, target, peer: socket.remoteAddress });
    this.#refused.add(socket);
    const writer = new ClientWriter(res, deaf, this.#limits, plainAddress(socket.remoteAddress ?? ""));
    const response = LiveResponse.fromError(error, id);
    response.fields.set("X-Request-Id", id);
    res.once("close", () => writer.settle());
    writer.head(response, true);
    // Closing on unread bytes would reset the connection before the client has read the answer.
    if (message.complete) writer.end([]);
    else {
      writer.endHeld();
      dropRest(message, this.#limits.lingering, () => writer.close());
    }
  }

  /** A connection that is one too many of its client's, or brings one too many: closed, counted, told once a minute. */
  crowding(socket: Socket, what: "connections" | "pipelined requests" = "connections"): void {
    this.#count("overloaded").inc();
    const nowMono = performance.now();
    if (nowMono - this.#crowdToldMono > crowdToldEveryMs) {
      this.#crowdToldMono = nowMono;
      const clientIp = plainAddress(socket.remoteAddress ?? "");
      this.#logger.warn(
        { clientIp },
        `client has its share of ${what} (OUTRIGGER_CLIENT_SHARE): more are closed; told once a minute`,
      );
    }
    socket.destroy();
  }

  /** CONNECT: the parser has let go of the connection. */
  connect(message: IncomingMessage, socket: Socket): void {
    const error = new GatewayError("malformed_request", "CONNECT is not served here.");
    this.#socket(socket, { error, method: "CONNECT", target: message.url, peer: socket.remoteAddress });
  }

  /** What the parser, its time limits or the TLS handshake refused. */
  broken(error: NodeJS.ErrnoException, socket: Socket): void {
    if (this.#refused.has(socket)) return;
    // A connection that broke by itself, or has never become one: nothing can be said on it.
    if (error.code === "ECONNRESET" || !socket.writable || isHandshakeError(error)) socket.destroy();
    else if (!this.#tellExchange(error, socket))
      this.#socket(socket, { error: this.#parserError(error), peer: socket.remoteAddress });
  }

  /** A body that the parser gave up is told, and logged, as its exchange is. */
  #tellExchange(error: NodeJS.ErrnoException, socket: Socket): boolean {
    // The client has left in the middle of its body.
    if (error.code === "HPE_INVALID_EOF_STATE") return false;
    const exchange = exchangeOn(socket);
    if (exchange?.requestBroken(this.#parserError(error)) !== true) return false;
    this.#refused.add(socket);
    return true;
  }

  #socket(socket: Socket, refusal: Refusal): void {
    const id = this.#record(refusal);
    this.#refused.add(socket);
    // In the middle of an answer, or ahead of one, the client would take this for a part of it, or for it.
    if (isAnswering(socket)) socket.destroy();
    else answerBare(socket, refusal.error, id, this.#limits.lingering);
  }

  #parserError(error: NodeJS.ErrnoException): GatewayError {
    if (error.code !== "HPE_HEADER_OVERFLOW") return parserError(error);
    // Without them the client would be refused again until they end by themselves.
    const fields = this.#expiries().flatMap((line) => ["Set-Cookie", line]);
    return new GatewayError("fields_too_large", "The request head is too large.", { fields });
  }

  #record({ error, method, target, peer }: Refusal): string {
    const requestId = crypto.randomUUID();
    this.#count(error.code).inc();
    const path = target?.split("?", 1)[0]?.slice(0, 256);
    const clientIp = plainAddress(peer ?? "");
    const { status } = error.kind;
    const timestamp = new Date().toISOString();
    const outcome = { status, error: error.code, refusedBecause: error.detail };
    const line = { timestamp, requestId, method, path, ...outcome, clientIp };
    if (error.code === "internal_error") this.#logger.error({ ...line, err: error.cause }, "request failed");
    else this.#logger.warn(line, "request refused");
    return requestId;
  }
}

const deaf = { onWritable: () => {}, onBroken: () => {} };

/** Whether an earlier request on the connection is not answered yet. Not public, but there since Node 0.x. */
export function isAnswering(socket: Socket & { _httpMessage?: unknown }): boolean {
  return socket._httpMessage !== null && socket._httpMessage !== undefined;
}

/** Answers by hand, since there is no response object, and closes the connection. */
function answerBare(socket: Socket, error: GatewayError, requestId: string, lingering: Lingering): void {
  const { status, fields, body } = LiveResponse.fromError(error, requestId);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    `X-Request-Id: ${requestId}`,
  ];
  fields.forEach((_lower, value, name) => lines.push(`${name}: ${value}`));
  socket.on("error", () => socket.destroy());
  socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  socket.end(body ?? "");
  // What the client still sends is read and dropped for a moment: closing on unread bytes would reset the connection
  // before it has read the answer.
  socket.resume();
  socket.once(
    "close",
    lingering.add(socket, () => socket.destroy()),
  );
}

/** Probes and scanners on a TLS port are no requests. */
function isHandshakeError({ code = "" }: NodeJS.ErrnoException): boolean {
  return code.startsWith("ERR_SSL_") || code === "ERR_TLS_HANDSHAKE_TIMEOUT" || code === "EPROTO";
}

function parserError(error: NodeJS.ErrnoException): GatewayError {
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new GatewayError("request_timeout", "The request head did not come in time.");
  }
  // The parser's reason names no content of the request.
  const reason = "reason" in error && typeof error.reason === "string" ? `: ${error.reason}` : "";
  return new GatewayError("malformed_request", `The request is malformed${reason}.`);
}
