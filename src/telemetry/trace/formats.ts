// Reads the caller's span in formats older than Trace Context, as OTEL_PROPAGATORS names them. The service always gets
// `traceparent`.
import type { Fields } from "../../plugin-api/fields.ts";
import { parseTraceparent, type RemoteParent, sampledFlag } from "./context.ts";

export type Propagator = "tracecontext" | "baggage" | "b3" | "b3multi" | "jaeger";
export const propagators: readonly Propagator[] = ["tracecontext", "baggage", "b3", "b3multi", "jaeger"];

type Extract = (fields: Fields) => RemoteParent | undefined;

/** A 64-bit trace id is the lower half of a 128-bit one. */
const parentOf = (traceId: string, spanId: string, sampled: boolean): RemoteParent | undefined =>
  parseTraceparent(
    `00-${traceId.padStart(32, "0")}-${spanId.padStart(16, "0")}-0${sampled ? sampledFlag : 0}`,
  );

const single = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?$/;

/** `b3: {trace}-{span}-{sampled}-{parent}` (openzipkin/b3-propagation). */
function fromB3(fields: Fields): RemoteParent | undefined {
  const [, traceId, spanId, sampled = "0"] = single.exec(fields.get("b3") ?? "") ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return parentOf(traceId, spanId, sampled !== "0");
}

/** The same in separate fields: `X-B3-TraceId` and so on. */
function fromB3Multi(fields: Fields): RemoteParent | undefined {
  const traceId = fields.get("x-b3-traceid");
  const spanId = fields.get("x-b3-spanid");
  if (traceId === undefined || spanId === undefined) return undefined;
  if (!single.test(`${traceId}-${spanId}`)) return undefined;
  const sampled = fields.get("x-b3-sampled");
  return parentOf(traceId, spanId, sampled === "1" || sampled === "true" || fields.get("x-b3-flags") === "1");
}

const uber = /^([0-9a-f]{1,32}):([0-9a-f]{1,16}):[0-9a-f]{1,16}:([0-9a-f]{1,2})$/;

/** `uber-trace-id: {trace}:{span}:{parent}:{flags}` (Jaeger's client libraries). */
function fromJaeger(fields: Fields): RemoteParent | undefined {
  const found = uber.exec((fields.get("uber-trace-id") ?? "").replaceAll("%3A", ":"));
  const [, traceId, spanId, flags = "0"] = found ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return parentOf(traceId, spanId, (Number.parseInt(flags, 16) & 1) === 1);
}

function fromTraceContext(fields: Fields): RemoteParent | undefined {
  const value = fields.get("traceparent");
  return value === undefined ? undefined : parseTraceparent(value);
}

const extractors: Readonly<Partial<Record<Propagator, Extract>>> = {
  tracecontext: fromTraceContext,
  b3: fromB3,
  b3multi: fromB3Multi,
  jaeger: fromJaeger,
};

/** @returns a function that gives the caller's span from the first of these formats that a request has */
export function extractorOf(names: readonly Propagator[]): Extract {
  const wanted = names.flatMap((name) => extractors[name] ?? []);
  const [only] = wanted;
  if (only !== undefined && wanted.length === 1) return only;
  return (fields) => {
    for (const extract of wanted) {
      const parent = extract(fields);
      if (parent !== undefined) return parent;
    }
    return undefined;
  };
}
