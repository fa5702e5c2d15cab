// An upgrade (WebSocket or any other protocol): the handshake goes through the request chain like any request; after
// the 101, bytes are piped both ways until either side ends.
import http from "node:http";
import https from "node:https";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { GatewayError } from "../pipeline/errors.ts";
import type { LiveResponse } from "../pipeline/response.ts";
import type { CarriedExchange } from "./context.ts";

/** Opens the upstream's side; the exchange gets its answer whatever it is. */
export function openTunnel(exchange: CarriedExchange): void {
  const { target, timeoutMs } = exchange.route;
  const outgoing = exchange.upstreamRequest("none");
  const request = (target.tls ? https : http).request({
    ...(target.socketPath === undefined
      ? { host: target.host, port: target.port }
      : { socketPath: target.socketPath }),
    method: outgoing.method,
    path: outgoing.target,
    headers: outgoing.fields as string[],
    agent: false,
    ...exchange.route.target.tlsOptions,
  });
  const limitMs = outgoing.connectTimeoutMs + timeoutMs;
  const late = (): void => {
    request.destroy();
    exchange.onFail(new GatewayError("upstream_timeout", "The upstream did not answer the upgrade in time."));
  };
  const limit = setTimeout(late, limitMs);
  // Whoever settles the handshake first wins: the answer, a failure, the time limit, or the client's leaving.
  exchange.holdCall({
    write: () => true,
    end: () => {},
    resume: () => {},
    abort: () => {
      clearTimeout(limit);
      request.destroy();
    },
  });
  request.on("information", ({ statusCode, rawHeaders }: { statusCode: number; rawHeaders: string[] }) =>
    exchange.onInterim(statusCode, rawHeaders),
  );
  request.once("error", (error: NodeJS.ErrnoException) => {
    clearTimeout(limit);
    if (request.destroyed && error.message === "") return;
    const code =
      error.code === "ECONNREFUSED" || error.code === "ENOENT" ? "upstream_refused" : "upstream_reset";
    exchange.onFail(new GatewayError(code, "The upstream did not accept the upgrade.", { cause: error }));
  });
  request.once("response", (answer) => {
    clearTimeout(limit);
    deliver(exchange, answer);
  });
  request.once("upgrade", (answer, upstream, head) => {
    clearTimeout(limit);
    exchange.switching(answer.statusMessage ?? "", answer.rawHeaders, (response) =>
      join(exchange, response, { protocol: answer.headers.upgrade ?? "", upstream, head }),
    );
  });
  request.end();
}

/** An upgrade answered with something else than 101 is an ordinary answer. */
function deliver(exchange: CarriedExchange, answer: IncomingMessage): void {
  exchange.holdCall({
    write: () => true,
    end: () => {},
    resume: () => void answer.resume(),
    abort: () => void answer.destroy(),
  });
  exchange.onHead(answer.statusCode ?? 502, answer.statusMessage ?? "", answer.rawHeaders);
  answer.on("data", (chunk: Buffer) => {
    if (!exchange.onData(chunk)) answer.pause();
  });
  answer.once("end", () => exchange.onEnd(answer.rawTrailers));
  answer.once("error", (error) =>
    exchange.onFail(
      new GatewayError("upstream_reset", "The upstream broke off its answer.", { cause: error }),
    ),
  );
}

/** Writes the 101 and joins both connections. Ends with either; a reset on one side is a reset on the other. */
function join(
  exchange: CarriedExchange,
  response: LiveResponse,
  side: { protocol: string; upstream: Duplex; head: Buffer },
): void {
  const client = exchange.inbound.upgrade?.socket;
  if (client === undefined || client.destroyed) {
    side.upstream.destroy();
    exchange.finish(0);
    return;
  }
  const { upstream } = side;
  const { fields } = response;
  fields.set("Connection", "Upgrade");
  fields.set("Upgrade", side.protocol);
  const lines = ["HTTP/1.1 101 Switching Protocols"];
  fields.forEach((_lower, value, name) => lines.push(`${name}: ${value}`));
  client.setTimeout(0);
  client.setKeepAlive(true, 30_000);
  client.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  if (side.head.length > 0) client.write(side.head);
  const first = exchange.inbound.upgrade?.head;
  if (first !== undefined && first.length > 0) upstream.write(first);
  const writtenBefore = client.bytesWritten;
  let open = 2;
  const closed = (): void => {
    open -= 1;
    client.destroy();
    upstream.destroy();
    if (open === 0) exchange.finish(client.bytesWritten - writtenBefore);
  };
  client.once("close", closed).on("error", () => upstream.destroy());
  upstream.once("close", closed).on("error", () => client.resetAndDestroy());
  client.pipe(upstream).pipe(client);
}
