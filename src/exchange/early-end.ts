// Ends a response early after its head is out, in a way that its client recognises: a gRPC call by its status, an event
// stream by its end, since its client reconnects (HTML Standard, section 9.2). Any other response can only be reset.
import { grpcMessage, grpcStatusOf } from "../http2/grpc.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import { isGrpcType } from "../plugin-api/grpc-type.ts";
import type { LiveResponse } from "../runtime/response.ts";

const none: readonly string[] = [];

export function isEventStream({ fields }: LiveResponse): boolean {
  return /^text\/event-stream\s*(?:;|$)/i.test(fields.get("content-type") ?? "");
}

/**
 * @param ours whether this side ends the response; otherwise it broke
 * @returns the trailers to end with; undefined = the response can only be reset
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
  // An encoded body cannot end in the middle of its encoding.
  return ours && isEventStream(response) && !fields.has("content-encoding") ? none : undefined;
}
