// The compress plugin: sends bodies in the best content coding that the client accepts (RFC 9110 section 12.5.3).
import {
  definePlugin,
  type Exchange,
  type ExchangeResponse,
  type Hooks,
  type RouteInfo,
  type Services,
} from "../../src/plugin-api/contract.ts";
import { compileCandidate } from "./candidate.ts";
import { compileMakers, type Compressor, Compressors } from "./compressors.ts";
import { describeCoding, describeUnchanged, varyByCoding } from "./fields.ts";
import { bytesTotal, responsesTotal, type Result } from "./metrics.ts";
import { compileChoice } from "./negotiation.ts";
import { type CompressOptions, compressOptions } from "./options.ts";
import { compileSecrets } from "./secrets.ts";

const digestTrailers = (name: string): boolean => /digest|content-md5/.test(name);

type Send = (response: ExchangeResponse, compressor: Compressor) => void;

/** Sends the body through the compressor, counts bytes, and removes digest trailers, which no longer hold. */
function createSend({ metrics }: Services, { pattern }: RouteInfo): Send {
  const counter = bytesTotal(metrics);
  const plain = counter(pattern, "plain");
  const encoded = counter(pattern, "encoded");
  return function send(response, compressor) {
    response.through(compressor);
    compressor.once("close", () => plain.inc(compressor.bytesWritten));
    response.tap({
      chunk: (bytes) => encoded.inc(bytes.length),
      end: () => response.trailers.deleteWhere(digestTrailers),
      abort: () => {},
    });
  };
}

function onResponse(
  options: CompressOptions,
  compressors: Compressors,
  services: Services,
  route: RouteInfo,
): NonNullable<Hooks["onResponse"]> {
  const candidateOf = compileCandidate(options);
  const isSecret = compileSecrets(options);
  const choiceOf = compileChoice(options.codings);
  const makers = compileMakers(options);
  const send = createSend(services, route);
  const counter = responsesTotal(services.metrics);
  const counters = Object.fromEntries(
    (["zstd", "br", "gzip", "busy", "credentials"] as const).map((each) => [
      each,
      counter(route.pattern, each),
    ]),
  ) as Readonly<Record<Result, ReturnType<typeof counter>>>;
  const left = (exchange: Exchange, because: "busy" | "credentials"): void => {
    counters[because].inc();
    exchange.explain("uncompressed", because);
  };
  return function compressBody(exchange, response) {
    const { request } = exchange;
    if (response.status === 304) return describeUnchanged(request, response);
    const candidate = candidateOf(exchange, response);
    if (candidate === "no") return;
    const { coding, refusesPlain } = choiceOf(request.fields.get("accept-encoding"));
    // Vary is also set for short bodies: a client that refuses plain bodies gets them compressed.
    varyByCoding(response.fields);
    if (coding === undefined || request.httpVersion === "1.0") return;
    if (candidate === "small" && !refusesPlain) return;
    const isHead = request.method === "HEAD";
    if (isSecret(exchange, response)) return isHead ? undefined : left(exchange, "credentials");
    // Length and strong tag would be those of no answer that GET gives (RFC 9110 sections 8.6 and 9.3.2).
    if (isHead) return describeCoding(response, coding);
    const length = response.fields.get("content-length");
    const bytes = length === undefined ? undefined : Number(length);
    const compressor = compressors.take(makers[coding], bytes, options.maxConcurrent);
    if (compressor === undefined) return left(exchange, "busy");
    counters[coding].inc();
    exchange.explain("coding", coding);
    describeCoding(response, coding);
    send(response, compressor);
  };
}

export const compress = definePlugin({
  name: "compress",
  version: "1.0.0",
  apiVersion: 1,
  // After body-transform, which changes the body, and before the cache, which keeps each coding by Vary.
  priority: 51,
  security: false,
  failMode: "open",
  options: compressOptions,

  init: () => new Compressors(),

  setup({ options, services, state, route }): Hooks {
    return {
      headOnlyFields: ["accept-encoding", "content-encoding", "vary", "etag"],
      onResponse: onResponse(options, state, services, route),
    };
  },
});
