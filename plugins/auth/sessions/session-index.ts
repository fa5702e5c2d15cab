// What operators may see of sessions in Redis: an entry a session beside the sealed one, without tokens and claims.
import { z } from "zod";

/** Entries, by the session's id. */
export const indexPrefix = "session-index:";
/** Sealed sessions, by the digest of the browser's ticket. */
export const storedPrefix = "session:";

export const indexEntry = z.object({
  id: z.string(),
  userId: z.string(),
  issuer: z.string(),
  clientId: z.string(),
  /** Service at whose sidecar it began. */
  service: z.string(),
  /** ISO 8601. */
  startedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  /** Digest of the ticket: where the sealed session lies. It cannot be used as a cookie. */
  at: z.string(),
});
export type IndexEntry = z.output<typeof indexEntry>;
