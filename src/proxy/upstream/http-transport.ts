// The upstream transport over `node:http`'s own client with a keep-alive agent.
import http from "node:http";
import https from "node:https";
import { GatewayError } from "../../pipeline/errors.ts";
import type {
  UpstreamHandler,
  UpstreamRequest,
  UpstreamCall,
  UpstreamTarget,
  UpstreamTransport,
} from "./transport.ts";

export function createHttpTransport(
  target: UpstreamTarget,
  options: { maxConnections: number; idleTimeoutMs: number },
): UpstreamTransport {
  const agent = new (target.tls ? https : http).Agent({
    keepAlive: true,
    maxSockets: options.maxConnections,
    timeout: options.idleTimeoutMs,
    scheduling: "lifo",
  });
  const where =
    target.socketPath === undefined
      ? { host: target.host, port: target.port }
      : { socketPath: target.socketPath };
  const send = (request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall => {
    let over = false;
    let answer: http.IncomingMessage | undefined;
    const fail = (error: GatewayError): void => {
      if (over) return;
      over = true;
      outgoing.destroy();
      handler.onFail(error);
    };
    const outgoing = (target.tls ? https : http).request({
      ...where,
      agent,
      method: request.method,
      path: request.target,
      headers: request.fields as string[],
      ...target.tlsOptions,
    });
    outgoing.setTimeout(request.timeoutMs, () =>
      fail(new GatewayError("upstream_timeout", "The upstream did not answer in time.")),
    );
    outgoing.on("information", (info) => {
      if (!over) handler.onInterim(info.statusCode, info.rawHeaders);
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) =>
      fail(
        new GatewayError(
          error.code === "ECONNREFUSED" || error.code === "ENOENT"
            ? "upstream_refused"
            : error.code?.startsWith("HPE_") === true
              ? "upstream_invalid_response"
              : "upstream_reset",
          "The upstream could not be reached.",
          { cause: error },
        ),
      ),
    );
    outgoing.on("drain", () => {
      if (!over) handler.onDrain();
    });
    outgoing.on("response", (response) => {
      answer = response;
      if (over) return;
      handler.onHead(response.statusCode ?? 0, response.statusMessage ?? "", response.rawHeaders);
      response.on("data", (chunk: Buffer) => {
        if (!over && !handler.onData(chunk)) response.pause();
      });
      response.on("end", () => {
        if (over) return;
        over = true;
        handler.onEnd(response.rawTrailers);
      });
      response.on("error", (error) =>
        fail(new GatewayError("upstream_reset", "The upstream broke off.", { cause: error })),
      );
    });
    if (request.body === "none") outgoing.end();
    else if (Buffer.isBuffer(request.body)) outgoing.end(request.body);
    else outgoing.flushHeaders();
    return {
      write: (chunk) => over || outgoing.write(chunk),
      end: (trailers = []) => {
        if (trailers.length > 0)
          outgoing.addTrailers(
            Array.from(
              { length: trailers.length / 2 },
              (_, i) => [trailers[i * 2] as string, trailers[i * 2 + 1] as string] as [string, string],
            ),
          );
        outgoing.end();
      },
      resume: () => void answer?.resume(),
      abort: () => {
        if (!over) {
          over = true;
          outgoing.destroy();
        }
      },
    };
  };
  return { send, counts: () => ({ active: 0, idle: 0, queued: 0 }), close: () => agent.destroy() };
}
