// Says, for commands that ask sidecars, why an admin listener cannot be reached, and what to set.
import type { AdminListener } from "../admin/ask.ts";
import { textOf } from "../plugin-api/error-text.ts";

/** Why no connection comes about. */
const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens",
  ENOENT: "there is no such socket",
  EACCES: "this user may not open the socket",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that host",
  ECONNRESET: "the connection was ended",
};

/**
 * @param named addresses that the operator gave; none = the one of the environment was asked
 * @returns one line, without its end; for any other failure, what the error says
 */
export function unreachedText(
  { name }: AdminListener,
  error: unknown,
  named: readonly string[] | undefined,
): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const isSilent = error instanceof Error && error.name === "TimeoutError";
  const reason = isSilent ? "no answer in time" : reasons[code];
  if (reason === undefined) return `${name}: ${textOf(error)}`;
  const what = `${name}: no sidecar's admin listener there: ${reason}${isSilent ? "" : ` (${code})`}`;
  if ((named ?? []).length > 0) return what;
  return `${what}; name a running sidecar's by --admin, or set OUTRIGGER_ADMIN as that sidecar has it`;
}
