// Serves an upgrade (WebSocket or any other protocol). The handshake goes through the request chain like any request;
// after the 101, bytes are piped both ways until either side ends.
import http from "node:http";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type ErrorCode, GatewayError } from "../plugin-api/errors.ts";
import type { CarriedExchange } from "./context.ts";
import { Tunnel } from "./tunnel.ts";
import { encodeHead } from "../http1/head-writer.ts";
import { isAlwaysHopByHop } from "../http1/hop-by-hop.ts";
import { webSocketAccept } from "../http1/websocket-key.ts";
import type { UpstreamRequest } from "../upstream/transport.ts";

// A handshake has no body to stream.
const idleCall = { write: () => true, end: () => {}, resume: () => {} };
/** The same limit as before a plain answer: a client may leave them untaken, and each waits in memory then. */
const maxInterims = 64;
const tooManyInterims = (): Error => new Error("too many interim responses");
const invalid = "The service sent an invalid response.";

/** Opens the upstream's side; the exchange gets the answer, whatever it is. */
export function openTunnel(exchange: CarriedExchange): void {
  const outgoing = exchange.upstreamRequest("none");
  // node:http would throw for an invalid field only once the connection is open.
  const head = encodeHead(outgoing);
  if (head instanceof GatewayError) {
    exchange.onFail(head);
    return;
  }
  const abort = exchange.route.transport.openOwn(outgoing, {
    onReady: (socket, answered) => shakeHands(exchange, outgoing, requestOver(socket, outgoing), answered),
    onFail: (error) => exchange.onFail(error),
  });
  exchange.holdCall({ ...idleCall, abort });
}

function requestOver(socket: Socket, { method, target, fields }: UpstreamRequest): http.ClientRequest {
  const headers = fields as string[];
  return http.request({ method, path: target, headers, createConnection: () => socket });
}

function shakeHands(
  exchange: CarriedExchange,
  { timeoutMs }: UpstreamRequest,
  request: http.ClientRequest,
  answered: (how: number | GatewayError) => void = () => {},
): void {
  // The handshake is settled by the first of: the answer, a failure, the time limit, or the client's leaving.
  let settled = false;
  const settle = (act: () => void, how?: number | GatewayError): void => {
    if (settled) return;
    settled = true;
    clearTimeout(limit);
    if (how !== undefined) answered(how);
    act();
  };
  const fail = (code: ErrorCode, detail: string, cause?: unknown): void => {
    const error = new GatewayError(code, detail, { cause });
    settle(() => {
      request.destroy();
      exchange.onFail(error);
    }, error);
  };
  const late = (): void => fail("upstream_timeout", "The upstream did not answer the upgrade in time.");
  const limit = setTimeout(late, timeoutMs);
  exchange.holdCall({ ...idleCall, abort: () => settle(() => request.destroy()) });
  let interims = 0;
  request.on("information", ({ statusCode, rawHeaders }: http.InformationEvent) => {
    interims += 1;
    if (interims > maxInterims) fail("upstream_invalid_response", invalid, tooManyInterims());
    else if (!settled) exchange.onInterim(statusCode, rawHeaders);
  });
  request.on("error", (error) => fail("upstream_reset", "The upstream did not accept the upgrade.", error));
  request.once("response", (answer) => {
    if (answer.statusCode === 101) fail("upstream_invalid_response", "The service's 101 names no protocol.");
    else settle(() => deliver(exchange, answer), answer.statusCode);
  });
  request.once("upgrade", (answer, side, head) => {
    if (!isProven(exchange, answer)) {
      side.on("error", () => {}).destroy();
      return fail("upstream_invalid_response", "The service's 101 is not the one that was asked for.");
    }
    settle(() => accepted(exchange, answer, side, head), 101);
  });
  request.end();
}

/**
 * Checks the proof of a handshake that the sidecar made for an HTTP/2 client (RFC 6455 section 4.1); other clients
 * check their own.
 */
function isProven({ inbound, live }: CarriedExchange, { headers }: IncomingMessage): boolean {
  if (!inbound.stream.shared) return true;
  const key = live.request.fields.get("sec-websocket-key") ?? "";
  return (
    headers.upgrade?.toLowerCase() === "websocket" && headers["sec-websocket-accept"] === webSocketAccept(key)
  );
}

/** The service answered 101: the response phase decides whether the client gets it. */
function accepted(exchange: CarriedExchange, answer: IncomingMessage, socket: Socket, head: Buffer): void {
  const protocol = answer.headers.upgrade ?? "";
  const lost = (): void =>
    exchange.onFail(new GatewayError("upstream_reset", "The upstream broke off the upgrade."));
  // Nothing reads the socket yet, and an error without a listener would end the process.
  socket.once("close", lost).on("error", () => {});
  exchange.holdCall({ ...idleCall, abort: () => void socket.off("close", lost).destroy() });
  exchange.switching(answer.statusMessage ?? "", answer.rawHeaders, (response) => {
    const { fields } = response;
    // No plugin makes these changes.
    fields.watcher = undefined;
    // A 101 has no content, so it must state no length (RFC 9110 section 8.6).
    fields.deleteWhere((name) => isAlwaysHopByHop(name) || name === "content-length");
    fields.set("Connection", "Upgrade");
    fields.set("Upgrade", protocol);
    const client = exchange.inbound.stream.detach(fields.toFlat());
    socket.off("close", lost);
    const tunnel = new Tunnel(exchange, client, { protocol, socket, head });
    exchange.takenBy(tunnel);
    tunnel.start();
  });
}

/** Delivers an answer other than 101 to an upgrade as an ordinary answer. */
function deliver(exchange: CarriedExchange, answer: IncomingMessage): void {
  const { timeoutMs } = exchange.route;
  exchange.holdCall({
    ...idleCall,
    resume: () => {
      answer.socket.setTimeout(timeoutMs);
      answer.resume();
    },
    abort: () => void answer.destroy(),
  });
  const broken = (code: ErrorCode, detail: string): void => {
    answer.destroy();
    exchange.onFail(new GatewayError(code, detail));
  };
  answer.once("error", () => broken("upstream_reset", "The upstream broke off its answer."));
  answer.setTimeout(timeoutMs, () =>
    broken("upstream_timeout", "The upstream stopped in the middle of its answer."),
  );
  exchange.onHead(answer.statusCode ?? 502, answer.statusMessage ?? "", answer.rawHeaders);
  answer.on("data", (chunk: Buffer) => {
    if (exchange.onData(chunk)) return;
    answer.pause();
    // Now the client is waited for, with a limit of its own.
    answer.socket.setTimeout(0);
  });
  answer.once("end", () => {
    answer.socket.destroy();
    exchange.onEnd(answer.rawTrailers);
  });
}
