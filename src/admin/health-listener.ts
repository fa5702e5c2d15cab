// The admin listener of processes that serve no requests: health, metrics, and one document about their state.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ListenAddress } from "../config/formats.ts";
import type { Logger } from "../plugin-api/telemetry.ts";
import { createGuard } from "./access.ts";
import { AdminProblem, type Answer, jsonAnswer, sendAnswer, textAnswer } from "./answer.ts";
import { closeServer, listenOn } from "./bound.ts";
import { type MetricsPage, metricsAnswerer } from "./metrics-page.ts";
import { boundClients, isAlone } from "./pressure.ts";
import { type Check, readiness } from "./readiness.ts";
import { originForm } from "./target.ts";

export interface HealthOptions {
  readonly listen: ListenAddress | { readonly fd: number };
  /** The token that opens the state to peers on other machines. */
  readonly token: () => string | undefined;
  readonly logger: Logger;
  readonly checks: () => readonly Check[];
  readonly metrics: MetricsPage;
  /** The path of the state, and the document shown there. */
  readonly state: { readonly path: string; readonly show: () => object };
}

export interface HealthListener {
  /** Rejects when the address cannot be bound. @returns where it listens */
  listen(): Promise<AddressInfo | string>;
  close(): Promise<void>;
}

const maxConnections = 64;

function answererOf(options: HealthOptions): (request: IncomingMessage) => Promise<Answer> {
  const { checks, metrics, state } = options;
  const guard = createGuard(options.token);
  const metricsAnswer = metricsAnswerer(metrics);
  return async (request) => {
    if (request.method !== "GET" && request.method !== "HEAD")
      throw new AdminProblem(405, "Only GET, HEAD here.", { Allow: "GET, HEAD" });
    const [path = "", query] = originForm(request.url ?? "", request.headers.host).split("?", 2);
    if (path === "/livez") return textAnswer(200, "ok");
    if (path === "/readyz") return readiness(checks(), new URLSearchParams(query).has("verbose"));
    if (path === "/metrics") return await metricsAnswer(request);
    if (path !== state.path) throw new AdminProblem(404, "There is nothing here.");
    guard(request);
    return jsonAnswer(200, state.show());
  };
}

export function createHealthListener(options: HealthOptions): HealthListener {
  const { logger } = options;
  const answer = answererOf(options);

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let given: Answer;
    try {
      given = await answer(request);
    } catch (error) {
      if (!(error instanceof AdminProblem)) logger.error({ err: error }, "admin request failed");
      given = (
        error instanceof AdminProblem ? error : new AdminProblem(500, "That failed; the log says why.")
      ).answer;
    }
    if (!response.destroyed) sendAnswer(response, given, !request.complete);
  }

  const limits = {
    maxHeaderSize: 8192,
    headersTimeout: 5_000,
    requestTimeout: 10_000,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 1_000,
  };
  const server = createServer(limits, (request, response) => {
    if (isAlone(request, response)) void serve(request, response);
  });
  boundClients(server, maxConnections);
  return {
    async listen() {
      const address = await listenOn(server, options.listen);
      server.on("error", (error) => logger.error({ err: error }, "admin listener failed"));
      return address;
    },
    close: () => closeServer(server),
  };
}
