// Signed kill switches: a compact JWS for the field that it stands in.
import { compactJws, payloadOf, readClaims, signerOf } from "../policy/signature/jws.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import { disabledKey, maxSwitchLength, switchType } from "./kill-switch.ts";
import type { SwitchOpener } from "./switch-source.ts";

/** Where policies have to be signed, what opens routes or closes them has to be, too. */
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

/** What a value says, whether or not its signature counts. */
export function unsignedText(value: string): string {
  const token = compactJws(Buffer.from(value), maxSwitchLength);
  return token === undefined ? value : payloadOf(token).toString();
}
