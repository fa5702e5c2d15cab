// The webhook's HTTPS server: answers the API server's calls, with bounds on their number, size and time.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../plugin-api/telemetry.ts";
import type { Pair } from "../tls/read-files.ts";
import { Bodies, Connections } from "./callers.ts";
import type { InjectorMetrics } from "./injector-metrics.ts";
import { NoReview, type Otherwise, review, type Reviewed, type ReviewOptions } from "./review.ts";

/** By the path in the webhook configuration. */
const paths: ReadonlyMap<string, Otherwise> = new Map([
  ["/mutate", "refuse"],
  ["/mutate/best-effort", "admit"],
]);

/** The API server accepts requests up to 3 MiB. */
const maxBodyBytes = 4 * 1_048_576;
const maxAtOnce = 256;
/** Bound on all bodies being read together. */
const maxBytesAtOnce = 64 * 1_048_576;
const maxConnections = 512;
/** The API server waits at most 30 s, and by the manifest 5. */
const requestLimitMs = 10_000;

export interface WebhookOptions {
  /** The pair at the start; `use` replaces it after a renewal. */
  readonly pair: Pair;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  readonly review: ReviewOptions;
  readonly logger: Logger;
  readonly metrics: InjectorMetrics;
}

class HttpProblem extends Error {
  override readonly name = "HttpProblem";
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

export class Webhook {
  readonly server: Server;
  readonly #options: WebhookOptions;
  readonly #bodies = new Bodies({ count: maxAtOnce, bytes: maxBytesAtOnce });
  readonly #connections: Connections;
  #draining = false;

  constructor(options: WebhookOptions) {
    this.#options = options;
    const { pair, minVersion } = options;
    this.server = createServer(
      {
        ...pair,
        minVersion,
        maxHeaderSize: 16_384,
        headersTimeout: 5_000,
        requestTimeout: requestLimitMs,
        handshakeTimeout: 5_000,
        keepAliveTimeout: 120_000,
        connectionsCheckingInterval: 1_000,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#connections = new Connections(this.server, maxConnections);
  }

  /** For new handshakes; existing connections continue. */
  use(pair: Pair): void {
    this.server.setSecureContext({ ...pair, minVersion: this.#options.minVersion });
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Answers for at least `minMs`, each answer closing its connection; everything is closed after `maxMs`. */
  async drain({ minMs, maxMs }: { readonly minMs: number; readonly maxMs: number }): Promise<void> {
    const endMono = performance.now() + maxMs;
    this.#draining = true;
    await sleep(Math.min(minMs, maxMs));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.server.close(() => resolve());
    this.server.closeIdleConnections();
    const limit = setTimeout(
      () => this.server.closeAllConnections(),
      Math.max(0, endMono - performance.now()),
    );
    await promise;
    clearTimeout(limit);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = await this.#admission(request);
      send(response, 200, answer, this.#draining);
    } catch (error) {
      const problem = this.#problemOf(error);
      this.#options.metrics.failed(String(problem.status));
      // Closes the connection if the body was not read to its end.
      send(response, problem.status, { error: problem.message }, this.#draining || !request.complete);
    }
  }

  async #admission(request: IncomingMessage): Promise<object> {
    const { metrics, logger } = this.#options;
    const beganMono = performance.now();
    const otherwise = otherwiseOf(request);
    const body = await readBody(request, this.#bodies);
    const { verdict, answer } = reviewed(body, otherwise, this.#options.review);
    this.#connections.used(request);
    metrics.admitted(verdict, (performance.now() - beganMono) / 1000);
    tell(logger, verdict);
    return answer;
  }

  #problemOf(error: unknown): HttpProblem {
    if (error instanceof HttpProblem) return error;
    this.#options.logger.error({ err: error }, "admission failed");
    return new HttpProblem(500, "that failed; the injector's log says why");
  }
}

/** The API server appends a query (`?timeout=5s`), which is ignored. */
function otherwiseOf({ method, url = "", headers }: IncomingMessage): Otherwise {
  const [path = ""] = url.split("?", 1);
  const otherwise = paths.get(path);
  if (otherwise === undefined)
    throw new HttpProblem(404, `there is nothing at this path but ${[...paths.keys()].join(", ")}`);
  if (method !== "POST") throw new HttpProblem(405, "only POST here");
  if (headers["content-type"]?.split(";", 1)[0]?.trim() !== "application/json")
    throw new HttpProblem(415, "only application/json here");
  return otherwise;
}

async function readBody(request: IncomingMessage, bodies: Bodies): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  bodies.begin(request);
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBodyBytes) break;
      chunks.push(chunk);
      bodies.took(request, chunk.length);
    }
  } catch {
    throw new HttpProblem(400, "the body broke off");
  } finally {
    bodies.end(request);
  }
  if (length > maxBodyBytes) throw new HttpProblem(413, `the body is longer than ${maxBodyBytes} bytes`);
  return Buffer.concat(chunks).toString();
}

function reviewed(body: string, otherwise: Otherwise, options: ReviewOptions): Reviewed {
  try {
    return review(body, otherwise, options);
  } catch (error) {
    if (error instanceof NoReview) throw new HttpProblem(400, error.message);
    throw error;
  }
}

function tell(logger: Logger, { result, ...verdict }: Reviewed["verdict"]): void {
  const { message, ...fields } = verdict;
  if (result === "refused") logger.warn(fields, `pod refused: ${message}`);
  else if (result === "admitted_without") logger.warn(fields, `pod admitted without sidecar: ${message}`);
  else if (result === "opted_out") logger.info(fields, "pod wants no sidecar");
  else if (result === "injected" && message !== undefined)
    logger.warn(fields, `sidecar injected: ${message}`);
  else if (result === "injected") logger.info(fields, "sidecar injected");
}

function send(response: ServerResponse, status: number, document: object, close: boolean): void {
  if (response.destroyed) return;
  const body = JSON.stringify(document);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    ...(close ? { Connection: "close" } : {}),
  });
  response.end(body);
}
