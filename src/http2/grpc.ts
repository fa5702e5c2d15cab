// The part of gRPC over HTTP/2 (PROTOCOL-HTTP2.md) that a proxy needs: deadlines and statuses.

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** @returns milliseconds; undefined if the value is no timeout */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  const [, digits, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(value ?? "") ?? [];
  return digits === undefined ? undefined : Number(digits) * (unitMs[unit] as number);
}

/** @param ms rounded up: a call must not be told that less time is left than there is */
export function grpcTimeout(ms: number): string {
  const whole = Math.max(0, Math.ceil(ms));
  return whole < 1e8 ? `${whole}m` : `${Math.min(Math.ceil(whole / 1_000), 99_999_999)}S`;
}

/** Status codes of gRPC (statuscodes.md) for the HTTP statuses of the sidecar's own refusals. */
const byHttpStatus: Readonly<Record<number, number>> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  403: 7, // PERMISSION_DENIED
  404: 12, // UNIMPLEMENTED
  405: 12,
  408: 1, // CANCELLED
  409: 10, // ABORTED
  413: 8, // RESOURCE_EXHAUSTED
  429: 8,
  431: 8,
  501: 12,
  502: 14, // UNAVAILABLE
  503: 14,
  504: 4, // DEADLINE_EXCEEDED
};
const internal = 13;

export function grpcStatusOf(httpStatus: number): number {
  return byHttpStatus[httpStatus] ?? internal;
}

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

/** @returns undefined = the status says nothing that an HTTP status would */
export function httpStatusOf(grpcStatus: number): number | undefined {
  return byGrpcStatus[grpcStatus];
}

/** Encodes `grpc-message`: percent-encoded UTF-8, in which printable ASCII stays as it is, except %. */
export function grpcMessage(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const stays = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += stays ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
