// Decides as which status a finished exchange counts. gRPC reports errors behind a 200, and a body may break after any
// status.
import type { Outcome } from "../plugin-api/contract.ts";

/** HTTP statuses for gRPC statuses (google/rpc/code.proto). 3 and 5 are included because a policy may cause them. */
const byGrpcStatus: Readonly<Record<number, number>> = {
  2: 500, // UNKNOWN
  3: 400, // INVALID_ARGUMENT
  4: 504, // DEADLINE_EXCEEDED
  5: 404, // NOT_FOUND
  7: 403, // PERMISSION_DENIED
  8: 429, // RESOURCE_EXHAUSTED
  12: 501, // UNIMPLEMENTED
  13: 500, // INTERNAL
  14: 503, // UNAVAILABLE
  15: 500, // DATA_LOSS
  16: 401, // UNAUTHENTICATED
};

/** @returns 0 = the client left before there was a status */
export function countedStatus({
  status,
  end,
  grpcStatus,
}: Pick<Outcome, "status" | "end" | "grpcStatus">): number {
  if (end === "failed" || end === "upstream-aborted") return 502;
  return (grpcStatus === undefined ? undefined : byGrpcStatus[grpcStatus]) ?? status;
}
