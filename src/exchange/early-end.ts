// How a response whose head is out ends before its time, so that its client knows: a call of gRPC by its status, a stream
// of events by its end, since its client comes again (HTML Standard, section 9.2). Anything else can only be reset.
import { grpcMessage, grpcStatusOf } from "../http2/grpc.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import { isGrpcType } from "../plugin-api/grpc-type.ts";
import type { LiveResponse } from "../runtime/response.ts";

const none: readonly string[] = [];

export function isEventStream({ fields }: LiveResponse): boolean {
  return /^text\/event-stream\s*(?:;|$)/i.test(fields.get("content-type") ?? "");
}

/**
 * @param ours this side ends it; else it broke
 * @returns the trailers it ends with; undefined = it has no words for it
 */
export function earlyEnd(
  response: LiveResponse,
  error: GatewayError,
  { grpc, ours }: { readonly grpc: boolean; readonly ours: boolean },
): readonly string[] | undefined {
  const { fields } = response;
  if (grpc && isGrpcType(fields.get("content-type"))) {
    const status = String(grpcStatusOf(error.kind.status));
    return ["grpc-status", status, "grpc-message", grpcMessage(error.detail)];
  }
  // In the middle of an encoding there is no end.
  return ours && isEventStream(response) && !fields.has("content-encoding") ? none : undefined;
}
