// Runs `outrigger policy promote` and `policy abort`, which end the running canary or shadow.
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { documentName, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface CanaryEndOptions {
  readonly reason?: string;
  readonly author?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function endCanary(
  terminal: Terminal,
  to: "promoted" | "aborted",
  { json, reason = "", ...options }: CanaryEndOptions,
): Promise<number> {
  return await withPlane(terminal, options, async ({ canaries, author }) => {
    // A canary that promoted itself may not have reached the policy yet: this writes it there.
    const settled = await canaries.settle();
    const ended = await canaries.end(to, author, reason);
    if (ended === undefined && settled === undefined)
      throw new PlaneRefusal(
        "no canary or shadow runs: outrigger policy history says what became of the last",
      );
    if (ended === undefined) throw new PlaneRefusal(`the canary was promoted before, as revision ${settled}`);
    const { order, state, revision } = ended;
    const document = documentName(order.service ?? undefined);
    if (json) {
      terminal.out(
        `${JSON.stringify({ document, canary: order.id, state: state.state, why: state.why, revision }, null, 2)}\n`,
      );
    } else {
      const then =
        revision === undefined ? "the policy stays as it was" : `${document} is now at revision ${revision}`;
      terminal.out(
        `${printable(`the ${order.by === "shadow" ? "shadow" : "canary"} is ${state.state} ${state.why}`)}: ${then}\n`,
      );
    }
    return state.state === to && (to === "aborted" || revision !== undefined) ? 0 : 1;
  });
}
