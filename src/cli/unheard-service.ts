// Finds out whether any sidecar of a service that the operator names has been heard of. Of none, the name is most often
// a typing mistake; but a layer or a kill switch may also be written before the service's first roll-out, so it only
// warns.
import { nearestName } from "../language/nearest.ts";
import { services } from "../plane/fleet.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import type { Plane } from "./with-plane.ts";

/** @returns a warning; undefined = `known` has the service */
export function unheard(service: string, known: readonly string[]): string | undefined {
  if (known.includes(service)) return undefined;
  const meant = nearestName(service, known);
  const hint = meant === undefined ? "" : `: did you mean ${meant}?`;
  return `no sidecar of ${service} has been heard of in the last two hours${hint}`;
}

/** Prints the warning, if there is one. @param then what follows from it, as the end of the sentence */
export async function warnOfUnheard(
  terminal: Terminal,
  { store }: Pick<Plane, "store">,
  service: string | undefined,
  then: string,
): Promise<void> {
  if (service === undefined) return;
  try {
    const warning = unheard(service, await services(store));
    if (warning !== undefined) terminal.err(`warning: ${printable(warning)}; ${then}\n`);
  } catch (error) {
    // It is no more than a hint: an operator who may not read who lives has done what was asked.
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}
