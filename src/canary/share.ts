// Chooses a stable share of sidecars or callers: by a hash of who they are and of the purpose, so that nobody always
// comes first.
import { hash } from "node:crypto";

/** @param what the purpose, such as a canary's id @param who a sidecar or a caller. @returns from 0 to 1, without 1 */
export function placeOf(what: string, who: string): number {
  return Number.parseInt(hash("sha256", `${what}\n${who}`, "hex").slice(0, 12), 16) / 2 ** 48;
}
