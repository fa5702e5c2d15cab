// Fields of a route that depend on no other field.
import { z } from "zod";
import { byteSize } from "../../language/byte-size.ts";
import { milliseconds } from "../../language/duration.ts";

export const timeout = milliseconds(1, 3_600_000)
  .optional()
  .describe(
    "Milliseconds to wait for the response head, and for every later gap between body chunks (default: the sidecar's OUTRIGGER_UPSTREAM_TIMEOUT_MS)",
  );

const maxAgeMs = milliseconds(1, 31_622_400_000)
  .optional()
  .describe("Milliseconds after which a stream or an upgrade is ended (default: none)");

const maxIdleMs = milliseconds(1, 31_622_400_000)
  .optional()
  .describe(
    "Milliseconds without a byte either way after which a WebSocket, a call of gRPC or a stream of events is ended (default: none)",
  );

const maxMessagesPerSecond = z
  .int()
  .min(1)
  .max(1_000_000)
  .optional()
  .describe(
    "Messages of gRPC, or frames of a WebSocket, that one stream may bring from its client a second, and as many at once; more end it (default: any number)",
  );

/** Fields that bound streams. */
export const streamFields = { maxAgeMs, maxIdleMs, maxMessagesPerSecond };

export interface StreamFields {
  readonly maxAgeMs?: number | undefined;
  readonly maxIdleMs?: number | undefined;
  readonly maxMessagesPerSecond?: number | undefined;
}

export const bufferRequestBytes = byteSize(0, 16_777_216)
  .optional()
  .describe(
    "Bytes of a request body that are taken in before the service is asked (default: 65536); 0: bodies stream, at any pace",
  );

export const caseInsensitive = z
  .boolean()
  .optional()
  .describe(
    "Whether the service takes paths that differ in case alone for the same one: routes, rules, exclusions and limits then do too (default false)",
  );

export const restorePrefix = z
  .boolean()
  .optional()
  .describe(
    "Whether stripPrefix is put back in front of what the service says of itself: Location, Content-Location, Refresh, cookie paths (default false)",
  );

export const upstreamProtocol = z
  .enum(["http1", "h2c", "h2", "auto"])
  .optional()
  .describe(
    "What the upstream speaks: http1, HTTP/2 (h2c in clear, h2 over TLS), or auto: HTTP/2 for gRPC alone (default: the sidecar's OUTRIGGER_UPSTREAM_PROTOCOL)",
  );
