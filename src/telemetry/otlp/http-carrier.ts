// Sends requests to a collector over HTTP/1.1, on one kept-alive connection.
import http from "node:http";
import https from "node:https";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import {
  type Carrier,
  type CarrierOptions,
  type Delivery,
  maxResponseBytes,
  retryAfterMs,
} from "./delivery.ts";

const compress = promisify(gzip);
/** Statuses for which the protocol asks for a retry. */
const retried = new Set([429, 502, 503, 504]);

export function createHttpCarrier(options: CarrierOptions): Carrier {
  const isTls = options.url.protocol === "https:";
  const agent = new (isTls ? https : http).Agent({ keepAlive: true, maxSockets: 1, ...options.tls });
  return {
    async send(body) {
      try {
        const bytes = options.gzip ? await compress(body, { level: 1 }) : body;
        return await post(options, agent, bytes);
      } catch (error) {
        return { outcome: "retry", reason: reasonOf(error, options.timeoutMs) };
      }
    },
    close: () => agent.destroy(),
  };
}

function post(options: CarrierOptions, agent: http.Agent, body: Buffer): Promise<Delivery> {
  const { promise, resolve, reject } = Promise.withResolvers<Delivery>();
  const request = (options.url.protocol === "https:" ? https : http).request(options.url, {
    method: "POST",
    agent,
    headers: {
      ...options.headers,
      "content-type": options.contentType,
      "content-length": body.length,
      ...(options.gzip && { "content-encoding": "gzip" }),
    },
    signal: AbortSignal.timeout(options.timeoutMs),
    maxHeaderSize: 16_384,
  });
  request.once("error", reject);
  request.once("response", (response) => {
    read(response).then((bytes) => resolve(deliveryOf(response, bytes)), reject);
  });
  request.end(body);
  return promise;
}

async function read(response: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxResponseBytes) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function deliveryOf({ statusCode = 0, headers }: http.IncomingMessage, response: Buffer): Delivery {
  const reason = `HTTP status ${statusCode}`;
  if (statusCode >= 200 && statusCode < 300) return { outcome: "taken", reason, response };
  if (!retried.has(statusCode)) return { outcome: "refused", reason };
  return { outcome: "retry", reason, retryAfterMs: retryAfterMs(headers["retry-after"], Date.now()) };
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return "failed";
  if (error.name === "AbortError" || error.name === "TimeoutError") return `no answer within ${timeoutMs} ms`;
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
