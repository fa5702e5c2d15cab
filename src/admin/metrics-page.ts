// Serves the metrics page in the format that the client prefers: Prometheus text, or OpenMetrics, which has exemplars.
import type { IncomingMessage } from "node:http";
import type { Answer } from "./answer.ts";
import { compressed } from "./compressed.ts";
import { sparingly } from "./pressure.ts";

export interface MetricsPage {
  /** @param open renders OpenMetrics */
  render(open: boolean): Promise<string>;
}

const textType = "text/plain; version=0.0.4; charset=utf-8";
const openType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/** @returns a function that answers a request for the page */
export function metricsAnswerer(page: MetricsPage): (request: IncomingMessage) => Promise<Answer> {
  const text = sparingly(() => page.render(false));
  const open = sparingly(() => page.render(true));
  return async (request) => {
    const takesOpen = prefersOpen(request.headers.accept);
    const answer = await compressed(request, {
      status: 200,
      contentType: takesOpen ? openType : textType,
      body: await (takesOpen ? open : text)(),
    });
    return { ...answer, fields: { ...answer.fields, Vary: "Accept, Accept-Encoding" } };
  };
}

/** @param accept the Accept field (RFC 9110 section 12.5.1) */
function prefersOpen(accept: string | undefined): boolean {
  const quality = (type: RegExp): number => {
    const given = (accept ?? "")
      .toLowerCase()
      .split(",", 32)
      .map((member) => member.split(";", 8).map((part) => part.trim()))
      .filter(([name = ""]) => type.test(name))
      .map((parts) => Number(parts.find((part) => part.startsWith("q="))?.slice(2) ?? 1));
    return Math.max(0, ...given.filter((value) => value <= 1));
  };
  const open = quality(/^application\/openmetrics-text$/);
  return open > 0 && open >= quality(/^text\/plain$/);
}
