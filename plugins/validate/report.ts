// Report mode: checks responses against the OpenAPI document. They pass unchanged; flaws are logged and counted.
import { promisify } from "node:util";
import zlib from "node:zlib";
import type {
  BodyTap,
  Exchange,
  ExchangeResponse,
  RouteInfo,
  Services,
} from "../../src/plugin-api/contract.ts";
import { type Flaw, readJson } from "./json-body.ts";
import { isJson, readMediaType } from "./media-type.ts";
import { responsesTotal } from "./metrics.ts";
import type { ValidateOptions } from "./options.ts";
import type { Check } from "./schemas.ts";
import type { Validator } from "./validator.ts";

/** Bound on all bodies collected at one time, over every route of the process. */
const maxHeldBytes = 16_777_216;
const logEveryMs = 1_000;
let heldBytes = 0;

const decoders: Readonly<
  Record<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip),
  br: promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress),
  zstd: promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress),
};

type Tell = (exchange: Exchange, status: number, flaw: Flaw) => void;

/** Logs at most one line a second; the line says how many responses it stands for. */
function createTeller({ logger, clock }: Services, { pattern }: RouteInfo): Tell {
  let nextMono = 0;
  let untold = 0;
  return function tell({ id, request }, status, { pointer, message }) {
    untold += 1;
    if (clock.mono() < nextMono) return;
    nextMono = clock.mono() + logEveryMs;
    const facts = {
      requestId: id,
      route: pattern,
      method: request.method,
      status,
      pointer,
      responses: untold,
    };
    logger.warn(facts, `the response does not fit the OpenAPI document: ${message}`);
    untold = 0;
  };
}

export function createReport(
  validator: Validator,
  { maxBodyBytes, maxDepth }: ValidateOptions,
  services: Services,
  route: RouteInfo,
): (exchange: Exchange, response: ExchangeResponse) => void {
  const tell = createTeller(services, route);
  const counter = responsesTotal(services.metrics);
  const counters = {
    valid: counter(route.pattern, "valid"),
    invalid: counter(route.pattern, "invalid"),
    unchecked: counter(route.pattern, "unchecked"),
  };
  const judge = (exchange: Exchange, status: number, body: Buffer, check: Check): void => {
    const read = readJson(body, maxDepth);
    const flaw = "value" in read ? check(read.value) : read;
    counters[flaw === undefined ? "valid" : "invalid"].inc();
    if (flaw !== undefined) tell(exchange, status, flaw);
  };
  return function report(exchange, response) {
    const { status, fields, origin } = response;
    if (origin !== "upstream" || exchange.request.method === "HEAD" || status === 304) return;
    const essence = readMediaType(fields.get("content-type") ?? "")?.essence ?? "";
    const check = isJson(essence) ? validator.response(exchange, status, essence) : undefined;
    if (check === undefined) return;
    // A body that the service or another plugin has compressed is decoded, up to the same number of bytes.
    const coding = (fields.get("content-encoding") ?? "identity").toLowerCase();
    const decode = decoders[coding];
    if (coding !== "identity" && decode === undefined) return counters.unchecked.inc();
    response.tap(
      collect(maxBodyBytes, (body) => {
        if (body === undefined) return counters.unchecked.inc();
        if (decode === undefined) return judge(exchange, status, body, check);
        decode(body, { maxOutputLength: maxBodyBytes }).then(
          (plain) => judge(exchange, status, plain, check),
          () => counters.unchecked.inc(),
        );
      }),
    );
  };
}

/** @param done gets the whole body; undefined = it was too long, or the process was collecting too much already */
function collect(maxBytes: number, done: (body: Buffer | undefined) => void): BodyTap {
  let chunks: Buffer[] | undefined = [];
  let length = 0;
  const giveBack = (): void => {
    heldBytes -= length;
    length = 0;
    chunks = undefined;
  };
  return {
    chunk(bytes) {
      if (chunks === undefined) return;
      if (length + bytes.length > maxBytes || heldBytes + bytes.length > maxHeldBytes) return giveBack();
      length += bytes.length;
      heldBytes += bytes.length;
      chunks.push(bytes);
    },
    end() {
      const body = chunks && Buffer.concat(chunks);
      giveBack();
      done(body);
    },
    abort: giveBack,
  };
}
