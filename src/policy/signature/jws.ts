// The compact JWS (RFC 7515) that signed documents are: what its protected header claims, and who signed it.
import { z } from "zod";
import { refused } from "../document/parse.ts";
import type { VerifyKey } from "./verify-keys.ts";

/** What the header of a signed document claims; times in seconds since 1970. */
export interface Claims {
  readonly kid: string | undefined;
  readonly typ: string | undefined;
  /** The key in Redis (without prefix) that it is meant for. */
  readonly for: string | undefined;
  readonly iat: number | undefined;
  /** Of two documents for one key the later one has the higher. */
  readonly epoch: number | undefined;
  readonly exp: number | undefined;
}

const seconds = z.int().min(0).max(253_402_300_799).optional();
const claims = z.object({
  kid: z.string().optional(),
  typ: z.string().optional(),
  for: z.string().optional(),
  iat: seconds,
  epoch: z.int().min(1).optional(),
  exp: seconds,
  crit: z.undefined().optional(),
});

/** A document grows by a third in base64, and its header comes on top. */
const growth = 1.4;
const headerBytes = 4096;

/** @returns the text if it has the form of a compact JWS of a payload of at most so many bytes */
export function compactJws(bytes: Uint8Array, maxBytes: number): string | undefined {
  if (bytes.byteLength > maxBytes * growth + headerBytes) return undefined;
  const text = Buffer.from(bytes).toString("latin1").trim();
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text) ? text : undefined;
}

/** What the header says, checked by nobody. Throws PolicyRefused when it cannot be read. */
export function readClaims(token: string): Claims {
  let header: unknown;
  try {
    header = JSON.parse(Buffer.from(token.slice(0, token.indexOf(".")), "base64url").toString());
  } catch {
    throw refused("looks like a JWS but has no valid header");
  }
  const parsed = claims.safeParse(header);
  if (parsed.success) {
    const { kid, typ, iat, epoch, exp } = parsed.data;
    return { kid, typ, for: parsed.data.for, iat, epoch, exp };
  }
  const name = String(parsed.error.issues[0]?.path[0] ?? "");
  // RFC 7515 section 4.1.11: an extension that must be understood, and none is.
  if (name === "crit") throw refused('its JWS header has "crit"');
  throw refused(
    name === "" ? "looks like a JWS but has no valid header" : `its JWS header has no valid ${name}`,
  );
}

/** The bytes that were signed, checked by nobody. */
export function payloadOf(token: string): Buffer {
  return Buffer.from(token.split(".")[1] as string, "base64url");
}

/** @returns the key that signed it; undefined = none of them */
export async function signerOf(
  token: string,
  { kid }: Pick<Claims, "kid">,
  keys: readonly VerifyKey[],
): Promise<VerifyKey | undefined> {
  const { compactVerify } = await import("jose");
  for (const candidate of keys.filter((key) => kid === undefined || key.kid === kid)) {
    try {
      await compactVerify(token, candidate.key, { algorithms: [...candidate.algorithms] });
      return candidate;
    } catch {
      // Whatever the reason, this key did not sign it.
    }
  }
  return undefined;
}
