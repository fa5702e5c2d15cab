// The request as it is sent again: within what is left of its time.
import { fieldOf } from "../../http2/fields.ts";
import { grpcTimeout, parseGrpcTimeout } from "../../http2/grpc.ts";
import type { UpstreamRequest } from "../transport.ts";
import type { CallKind } from "./parts.ts";

/** @param outMono when the request was out first: from then on the route's time limit counts */
export function deadlineOf(
  { fields, timeoutMs }: UpstreamRequest,
  { isGrpc }: CallKind,
  startedMono: number,
  outMono: number,
): number {
  const limitMs = isGrpc ? parseGrpcTimeout(fieldOf(fields, "grpc-timeout")) : undefined;
  return Math.min(outMono + timeoutMs, startedMono + (limitMs ?? Infinity));
}

/** @param leftMs until it has to be answered */
export function nextTry(
  request: UpstreamRequest,
  fields: readonly string[],
  leftMs: number,
): UpstreamRequest {
  const connectTimeoutMs = Math.max(1, Math.min(request.connectTimeoutMs, leftMs));
  return { ...request, connectTimeoutMs, fields: withGrpcTimeout(fields, leftMs) };
}

/** Whoever gives gRPC a deadline is told what is left of it. */
function withGrpcTimeout(fields: readonly string[], leftMs: number): readonly string[] {
  const at = fields.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "grpc-timeout");
  return at === -1 ? fields : fields.with(at + 1, grpcTimeout(leftMs));
}
