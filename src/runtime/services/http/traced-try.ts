// Reports a try of a plugin's call to the trace: its host and its result. Path, query and fields may hold secrets, so
// they are left out.
import { type HttpAnswer, HttpError, type HttpRequest } from "../../../plugin-api/http.ts";
import { callingTrace } from "../../call-trace.ts";

interface TracedCall {
  readonly url: URL;
  readonly options: Pick<HttpRequest, "method">;
}

/** @param retry 0 = the first try @param fromMono when it began, in milliseconds on the monotonic clock */
export function traceTry(
  { url, options: { method = "GET" } }: TracedCall,
  retry: number,
  outcome: HttpAnswer | HttpError,
  fromMono: number,
): void {
  const trace = callingTrace();
  if (trace === undefined) return;
  const status = outcome instanceof HttpError ? undefined : outcome.status;
  const error = outcome instanceof HttpError ? outcome.reason : failureOf(outcome.status);
  trace.called({
    name: method,
    attributes: () => [
      "http.request.method",
      method,
      "server.address",
      url.hostname,
      "server.port",
      Number(url.port || (url.protocol === "https:" ? 443 : 80)),
      "url.scheme",
      url.protocol.slice(0, -1),
      "network.protocol.version",
      "1.1",
      ...(status === undefined ? [] : ["http.response.status_code", status]),
      ...(retry === 0 ? [] : ["http.request.resend_count", retry]),
      ...(error === undefined ? [] : ["error.type", error]),
    ],
    fromMono,
    toMono: performance.now(),
    error,
  });
}

/** For a client a 4xx is an error too (OpenTelemetry's conventions for HTTP clients). */
function failureOf(status: number): string | undefined {
  return status >= 400 ? String(status) : undefined;
}
