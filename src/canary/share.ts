// Who is chosen: always the same ones, by a hash of who they are and of what they are chosen for, so that nobody is
// always first.
import { hash } from "node:crypto";

/** @param who a sidecar, a caller. @returns from 0 to 1, without 1 */
export function placeOf(what: string, who: string): number {
  return Number.parseInt(hash("sha256", `${what}\n${who}`, "hex").slice(0, 12), 16) / 2 ** 48;
}
