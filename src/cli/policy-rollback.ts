// Runs `outrigger policy rollback [REVISION]`: writes a new revision that restores an old one.
import { documentIn } from "../plane/candidate.ts";
import { differences } from "../plane/difference.ts";
import { revisionBefore, rollbackReason } from "../plane/rollback-target.ts";
import { printable } from "./table.ts";
import { readSigningKey } from "../plane/private-key.ts";
import type { Revision } from "../plane/revision.ts";
import { trustedIn, verifiedIn } from "./plane-trust.ts";
import { check, passTests } from "./policy-file.ts";
import { epochIn, isSigned, type Place, signedOver } from "./policy-signed.ts";
import { wrongWait } from "./command-parts.ts";
import { parseWait, reportConvergence } from "./policy-wait.ts";
import { parseSigning, type SigningOptions, type SigningWish } from "./signing-options.ts";
import type { Terminal } from "./terminal.ts";
import { documentName, type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface RollbackOptions extends SigningOptions {
  readonly service?: string;
  readonly reason?: string;
  readonly author?: string;
  readonly acceptReported?: true;
  readonly wait?: string;
  readonly json?: true;
}

/** Leaves room for the text about the old revision within the limit of any change's reason. */
const maxReason = 900;

/** @returns what is wrong with the arguments */
function flawOf(wanted: number | undefined, reason: string): string | undefined {
  if (wanted !== undefined && !(Number.isSafeInteger(wanted) && wanted > 0))
    return "rollback takes the number of a revision, as policy history prints it";
  return reason.length > maxReason ? `--reason takes at most ${maxReason} characters` : undefined;
}

/** @returns the exit code */
export async function rollBackPolicy(
  terminal: Terminal,
  revision: string | undefined,
  options: RollbackOptions,
): Promise<number> {
  const { service, reason = "", json } = options;
  const waitMs = parseWait(options.wait);
  const wish = parseSigning(options);
  if (typeof wish === "string") {
    terminal.err(`${wish}\n`);
    return 2;
  }
  const wanted = revision === undefined ? undefined : Number(revision);
  const wrong = flawOf(wanted, reason);
  if (waitMs === "wrong" || wrong !== undefined) {
    terminal.err(`${waitMs === "wrong" ? wrongWait : wrong}\n`);
    return 2;
  }
  return await withPlane(terminal, options, async (plane) => {
    const { history, author } = plane;
    await plane.canaries.makeWay(true);
    const before = await history.current(service, author);
    const target = wanted ?? revisionBefore(await history.list(service), before.revision);
    const old = await findOld(plane, service, target, options);
    const bytes = await restored(plane, old, wish, { service, before });
    // Ends a running canary, even one of another document: sidecars end it by themselves only when its own document
    // changes.
    await plane.canaries.end("aborted", author, `policy rollback of ${documentName(service)}`);
    const written = await history.change(service, {
      document: bytes,
      signedEpoch: bytes && epochIn(bytes),
      kind: "rollback",
      author,
      reason: rollbackReason(old.revision, reason),
      base: before.revision,
    });
    if (json !== true)
      terminal.err(`back to revision ${old.revision} of ${old.at}, by ${printable(old.author)}\n`);
    const changes = differences(before.document && documentIn(before.document), bytes && documentIn(bytes));
    return await reportConvergence(terminal, plane, { service, written, waitMs, json, changes });
  });
}

type Old = Revision & { readonly document: string | undefined };

/** @returns the document for Redis; undefined = delete the layer. Rejects when sidecars would refuse the document. */
async function restored(
  plane: Plane,
  old: Old,
  wish: SigningWish | undefined,
  place: Place,
): Promise<Buffer | undefined> {
  const { service, before } = place;
  const which = `revision ${old.revision}`;
  if (old.deleted) {
    if (service === undefined)
      throw new PlaneRefusal("the shared policy was deleted there: sidecars would keep the last one anyway");
    if (wish !== undefined || (before.document && isSigned(before.document)))
      throw new PlaneRefusal(
        "the layer was deleted there, and nobody can sign that: apply one that is empty, with --key",
      );
    return undefined;
  }
  const bytes = Buffer.from(old.document ?? "");
  // It was valid then, and may not be now.
  const { raw } = await check(plane, bytes, "any", service, which);
  await passTests(plane, raw, service, which);
  if (wish !== undefined) {
    await refuseUnverified(plane, bytes, wish, service, which);
    return await signedOver(plane, documentIn(bytes), wish, place);
  }
  if (isSigned(bytes) && before.document && !before.document.equals(bytes))
    throw new PlaneRefusal(
      `${which} is signed with the epoch of its time, which sidecars refuse by now: have it signed anew, with --key FILE`,
    );
  return bytes;
}

/**
 * The history is in Redis, where others can write: a document is signed again only if an accepted key has signed it
 * before.
 */
async function refuseUnverified(
  plane: Plane,
  bytes: Uint8Array,
  { keyFile }: SigningWish,
  service: string | undefined,
  which: string,
): Promise<void> {
  const trusted = await trustedIn(plane, await readSigningKey(keyFile));
  if ((await verifiedIn(plane, bytes, documentName(service), trusted)) !== undefined) return;
  const number = which.replace(/\D/g, "");
  throw new PlaneRefusal(
    `${which} is signed by no key that counts, so that it may be anybody's: read it (policy show --revision ${number}), and apply it from a file with --key`,
  );
}

async function findOld(
  { history }: Plane,
  service: string | undefined,
  number: number,
  { acceptReported }: RollbackOptions,
): Promise<Old> {
  if (number < 1)
    throw new PlaneRefusal(
      `the history of ${documentName(service)} has nothing to go back to: outrigger policy history lists it`,
    );
  const old = await history.find(service, number);
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
