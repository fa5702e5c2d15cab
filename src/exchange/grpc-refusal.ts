// Our own refusals as callers of gRPC read them: a response that is one head, whose status tells what is wrong. To them
// any other HTTP status would be UNKNOWN, or worse, a guess of their library's.
import type { LiveResponse } from "../runtime/response.ts";
import { grpcMessage, grpcStatusOf } from "../http2/grpc.ts";

/** Of seconds that a caller is told to wait. */
const maxSeconds = 86_400;

/** Turns the answer to an error of ours into one of gRPC. */
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
