// Reads the compact JWS (RFC 7515) of a signed document: the claims in its protected header, and who signed it.
import { z } from "zod";
import { refused } from "../document/parse.ts";
import type { VerifyKey } from "./verify-keys.ts";

/** Claims in the header of a signed document; times in seconds since 1970. */
export interface Claims {
  readonly kid: string | undefined;
  readonly typ: string | undefined;
  /** The key in Redis (without prefix) that the document is for. */
  readonly for: string | undefined;
  readonly iat: number | undefined;
  /** Number of the document; each later document for the same key has a higher one. */
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

/** @returns the text if it has the form of a compact JWS whose payload may be at most `maxBytes` long */
export function compactJws(bytes: Uint8Array, maxBytes: number): string | undefined {
  if (bytes.byteLength > maxBytes * growth + headerBytes) return undefined;
  const text = Buffer.from(bytes).toString("latin1").trim();
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text) ? text : undefined;
}

/** Reads the header's claims without verifying them. Throws PolicyRefused when it cannot be read. */
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
  // RFC 7515 section 4.1.11: "crit" lists extensions that must be understood, and this reader supports none.
  if (name === "crit") throw refused('its JWS header has "crit"');
  throw refused(
    name === "" ? "looks like a JWS but has no valid header" : `its JWS header has no valid ${name}`,
  );
}

/** @returns the signed bytes, not verified */
export function payloadOf(token: string): Buffer {
  return Buffer.from(token.split(".")[1] as string, "base64url");
}

/** @returns the key that signed the token; undefined = none of `keys` did */
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
