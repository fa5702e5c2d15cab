// Turns the sidecar's own refusals into gRPC responses: a single head whose grpc-status names the error. With any other
// HTTP status, gRPC callers would see UNKNOWN, or worse, a guess of their library.
import type { LiveResponse } from "../runtime/response.ts";
import { grpcMessage, grpcStatusOf } from "../http2/grpc.ts";

/** The longest Retry-After in seconds that is passed on. */
const maxSeconds = 86_400;

/** Turns an error response of the sidecar into a gRPC one. */
export function refuseAsGrpc(response: LiveResponse): void {
  const { error, fields } = response;
  const status = grpcStatusOf(response.status);
  const seconds = Number(fields.get("retry-after"));
  response.status = 200;
  response.replaceBody("");
  fields.delete("content-length");
  fields.set("Content-Type", "application/grpc");
  fields.set("grpc-status", String(status));
  fields.set("grpc-message", grpcMessage(error?.detail ?? ""));
  if (seconds > 0 && seconds <= maxSeconds) fields.set("grpc-retry-pushback-ms", String(seconds * 1_000));
}
