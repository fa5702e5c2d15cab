// As what an exchange counts, once it is over: gRPC says what went wrong behind a 200, a broken body behind any status.
import type { Outcome } from "../plugin-api/contract.ts";

/** Statuses of gRPC as HTTP has them (google/rpc/code.proto): 3 and 5 count where a policy is to blame. */
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

/** @returns 0 = the client left before there was any */
export function countedStatus({
  status,
  end,
  grpcStatus,
}: Pick<Outcome, "status" | "end" | "grpcStatus">): number {
  if (end === "failed" || end === "upstream-aborted") return 502;
  return (grpcStatus === undefined ? undefined : byGrpcStatus[grpcStatus]) ?? status;
}
