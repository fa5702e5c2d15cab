// The injector's plain listener: health and metrics.
import { createServer, type Server } from "node:http";
import { type Answer, sendAnswer, textAnswer } from "../admin/answer.ts";
import { type MetricsPage, metricsAnswerer } from "../admin/metrics-page.ts";
import { boundClients, isAlone } from "../admin/pressure.ts";
import type { Logger } from "../plugin-api/telemetry.ts";

export interface Condition {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface HealthOptions {
  readonly logger: Logger;
  readonly metrics: MetricsPage;
  /** Ready when all are ok. */
  readonly conditions: () => readonly Condition[];
}

const maxConnections = 64;

export function createHealth({ logger, metrics, conditions }: HealthOptions): Server {
  const metricsAnswer = metricsAnswerer(metrics);
  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5000,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      if (!isAlone(request, response)) return;
      const [path = ""] = (request.url ?? "").split("?", 1);
      const answer = async (): Promise<Answer> => {
        if (request.method !== "GET" && request.method !== "HEAD") return textAnswer(405, "Only GET here.");
        if (path === "/livez") return textAnswer(200, "ok");
        if (path === "/readyz") return readiness(conditions());
        if (path === "/metrics") return await metricsAnswer(request);
        return textAnswer(404, "There is nothing here but /livez, /readyz and /metrics.");
      };
      void answer()
        .catch((error: unknown) => {
          logger.error({ err: error }, "request for health or metrics failed");
          return textAnswer(500, "That failed; the log says why.");
        })
        .then((found) => {
          if (!response.destroyed) sendAnswer(response, found, !request.complete);
        });
    },
  );
  boundClients(server, maxConnections);
  return server;
}

function readiness(conditions: readonly Condition[]): Answer {
  const lines = conditions.map(({ name, ok, detail }) => `[${ok ? "+" : "-"}] ${name}: ${detail}`);
  const ok = conditions.every((each) => each.ok);
  return textAnswer(ok ? 200 : 503, [...lines, ok ? "ready" : "not ready"].join("\n"));
}
