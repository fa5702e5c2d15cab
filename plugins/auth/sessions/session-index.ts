// Describes the entry that operators see of a session in Redis: beside the sealed session, without tokens and claims.
import { z } from "zod";

/** Prefix of entries. The session's id follows. */
export const indexPrefix = "session-index:";
/** Prefix of sealed sessions. The digest of the browser's ticket follows. */
export const storedPrefix = "session:";

export const indexEntry = z.object({
  id: z.string(),
  userId: z.string(),
  issuer: z.string(),
  clientId: z.string(),
  /** Service whose sidecar began it. */
  service: z.string(),
  /** ISO 8601. */
  startedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  /** Digest of the ticket: the place of the sealed session. Nobody can use it as a cookie. */
  at: z.string(),
});
export type IndexEntry = z.output<typeof indexEntry>;
