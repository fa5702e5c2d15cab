// Opens signed kill switches: a compact JWS that is valid only for the field in which it stands.
import { compactJws, payloadOf, readClaims, signerOf } from "../policy/signature/jws.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import { disabledKey, maxSwitchLength, switchType } from "./kill-switch.ts";
import type { SwitchOpener } from "./switch-source.ts";

/**
 * @returns an opener that accepts only signed values. Where policies have to be signed, switches have to be, too: they
 * can open routes.
 */
export function signedOpener(keys: () => readonly VerifyKey[]): SwitchOpener {
  return async (value, field) => {
    const token = compactJws(Buffer.from(value), maxSwitchLength);
    if (token === undefined) return undefined;
    try {
      const claims = readClaims(token);
      if (claims.typ !== switchType || claims.for !== `${disabledKey} ${field}`) return undefined;
      if ((await signerOf(token, claims, keys())) === undefined) return undefined;
      return payloadOf(token).toString();
    } catch {
      return undefined;
    }
  };
}

/** @returns the text of a value, whether or not its signature counts */
export function unsignedText(value: string): string {
  const token = compactJws(Buffer.from(value), maxSwitchLength);
  return token === undefined ? value : payloadOf(token).toString();
}
