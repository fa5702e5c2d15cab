// `outrigger policy rollback [REVISION]`: a new revision that restores an old one.
import { documentIn } from "../plane/candidate.ts";
import { differences } from "../plane/difference.ts";
import type { Revision } from "../plane/revision.ts";
import { check } from "./policy-file.ts";
import { parseWait, reportConvergence } from "./policy-wait.ts";
import type { Terminal } from "./terminal.ts";
import { documentName, type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface RollbackOptions {
  readonly service?: string;
  readonly reason?: string;
  readonly author?: string;
  readonly acceptReported?: true;
  readonly wait?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function rollBackPolicy(
  terminal: Terminal,
  revision: string | undefined,
  options: RollbackOptions,
): Promise<number> {
  const { service, json } = options;
  const waitMs = parseWait(options.wait);
  const wanted = revision === undefined ? undefined : Number(revision);
  if (waitMs === "wrong" || (wanted !== undefined && !(Number.isSafeInteger(wanted) && wanted > 0))) {
    terminal.err("rollback takes the number of a revision, --wait a time such as 30s\n");
    return 2;
  }
  return await withPlane(terminal, options, async (plane) => {
    const { history, author } = plane;
    const before = await history.current(service, author);
    const old = await findOld(plane, service, wanted ?? before.revision - 1, options);
    const bytes = old.deleted ? undefined : Buffer.from(old.document ?? "");
    if (bytes === undefined && service === undefined)
      throw new PlaneRefusal("the shared policy was deleted there: sidecars would keep the last one anyway");
    // What was valid then need not be now.
    if (bytes !== undefined) await check(plane, bytes, "any", service, `revision ${old.revision}`);
    const written = await history.change(service, {
      document: bytes,
      kind: "rollback",
      author,
      reason: options.reason ?? `back to revision ${old.revision}`,
      base: before.revision,
    });
    const changes = differences(before.document && documentIn(before.document), bytes && documentIn(bytes));
    return await reportConvergence(terminal, plane, { service, written, waitMs, json, changes });
  });
}

async function findOld(
  { history }: Plane,
  service: string | undefined,
  number: number,
  { acceptReported }: RollbackOptions,
): Promise<Revision & { readonly document: string | undefined }> {
  const old = number > 0 ? await history.find(service, number) : undefined;
  if (old === undefined)
    throw new PlaneRefusal(`the history of ${documentName(service)} has no revision ${number}`);
  if (!old.deleted && (old.document ?? "") === "")
    throw new PlaneRefusal(`revision ${number} was too long to be kept`);
  if (old.reporter !== null && acceptReported !== true)
    throw new PlaneRefusal(
      `revision ${number} is known by the word of ${old.reporter} alone: read it (policy show --revision ${number}), then add --accept-reported`,
    );
  return old;
}
