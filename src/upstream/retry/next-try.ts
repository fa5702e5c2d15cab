// Prepares a request for its next try, within the time that is left.
import { fieldOf } from "../../http2/fields.ts";
import { grpcTimeout, parseGrpcTimeout } from "../../http2/grpc.ts";
import type { UpstreamRequest } from "../transport.ts";
import type { CallKind } from "./parts.ts";

/** @param outMono when the request was first sent completely: the route's time limit counts from then on */
export function deadlineOf(
  { fields, timeoutMs }: UpstreamRequest,
  { isGrpc }: CallKind,
  startedMono: number,
  outMono: number,
): number {
  const limitMs = isGrpc ? parseGrpcTimeout(fieldOf(fields, "grpc-timeout")) : undefined;
  return Math.min(outMono + timeoutMs, startedMono + (limitMs ?? Infinity));
}

/** @param leftMs time until the answer is due */
export function nextTry(
  request: UpstreamRequest,
  fields: readonly string[],
  leftMs: number,
): UpstreamRequest {
  const connectTimeoutMs = Math.max(1, Math.min(request.connectTimeoutMs, leftMs));
  return { ...request, connectTimeoutMs, fields: withGrpcTimeout(fields, leftMs) };
}

/** Updates `grpc-timeout`, if present, to the time that is left. */
function withGrpcTimeout(fields: readonly string[], leftMs: number): readonly string[] {
  const at = fields.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "grpc-timeout");
  return at === -1 ? fields : fields.with(at + 1, grpcTimeout(leftMs));
}
