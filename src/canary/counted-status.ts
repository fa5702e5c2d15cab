// Decides as which status a finished exchange counts. gRPC reports errors behind a 200, and a body may break after any
// status.
import { httpStatusOf } from "../http2/grpc.ts";
import type { Outcome } from "../plugin-api/contract.ts";

/** @returns 0 = the client left before there was a status */
export function countedStatus({
  status,
  end,
  grpcStatus,
}: Pick<Outcome, "status" | "end" | "grpcStatus">): number {
  if (end === "failed" || end === "upstream-aborted") return 502;
  return (grpcStatus === undefined ? undefined : httpStatusOf(grpcStatus)) ?? status;
}
