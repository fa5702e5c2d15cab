// Fields of a route that stand for themselves.
import { z } from "zod";

export const timeout = z
  .int()
  .min(1)
  .max(3_600_000)
  .optional()
  .describe(
    "Milliseconds to wait for the response head, and for every later gap between body chunks (default: the sidecar's OUTRIGGER_UPSTREAM_TIMEOUT_MS)",
  );

export const maxAgeMs = z
  .int()
  .min(1)
  .max(31_622_400_000)
  .optional()
  .describe("Milliseconds after which a stream or an upgrade is ended (default: none)");

export const bufferRequestBytes = z
  .int()
  .min(0)
  .max(16_777_216)
  .optional()
  .describe(
    "Bytes of a request body that are taken in before the service is asked (default: 65536); 0: bodies stream, at any pace",
  );

export const restorePrefix = z
  .boolean()
  .optional()
  .describe(
    "Whether stripPrefix is put back in front of what the service says of itself: Location, Content-Location, Refresh, cookie paths (default false)",
  );

/** @returns what is wrong with a `stripPrefix` on that path */
export function stripFlaw(stripPrefix: string, path: string): string | undefined {
  const base = path.endsWith("/*") ? path.slice(0, -2) : path;
  if (/^\/./.test(stripPrefix) && (base === stripPrefix || base.startsWith(`${stripPrefix}/`)))
    return undefined;
  return "must be the leading whole segments of path, without / at its end";
}
