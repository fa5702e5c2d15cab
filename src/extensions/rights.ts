// Who may give code of others all rights, or secrets, or have the sidecar open its files: not whoever can write a policy that
// nobody has signed.
import type { ExtensionEntry } from "./entry.ts";
import type { Manifest } from "./manifest.ts";
import { PackageError } from "./package-error.ts";

/**
 * `policies`: any policy, for each is the operator's word, signed or in a file. `folder`: what lies in OUTRIGGER_PLUGIN_DIR,
 * and says itself what it asks for. `nobody`: no package has them.
 */
export type RightsGiver = "policies" | "folder" | "nobody";

/** Whether the bytes of an entry count only as they lie in the operator's folder now. */
export const isOfFolder = (giver: RightsGiver, { source, manifest }: ExtensionEntry): boolean =>
  giver === "folder" && source.startsWith("file:") && manifest === undefined;

/**
 * Before anything of the place is looked at: what is there, or is not, would be told.
 * @throws PackageError for a file that nobody but the writer of an unsigned policy has named
 */
export function checkPlace(giver: RightsGiver, { source }: ExtensionEntry): void {
  if (giver === "nobody" && source.startsWith("file:"))
    throw new PackageError(
      "no files are read for policies in Redis that nobody has signed: set OUTRIGGER_PLUGIN_DIR, or OUTRIGGER_POLICY_KEYS",
      "source",
    );
}

const how =
  "with policies in Redis that takes OUTRIGGER_POLICY_KEYS, or a file in OUTRIGGER_PLUGIN_DIR that carries its manifest";

/** @throws PackageError for an entry that asks for more than anybody has given */
export function checkRights(giver: RightsGiver, entry: ExtensionEntry, { needs }: Manifest): void {
  if (giver === "policies" || isOfFolder(giver, entry)) return;
  if (entry.runtime === "trusted")
    throw new PackageError(`"trusted" is code with all rights of the sidecar: ${how}`, "runtime");
  const secrets = [...needs.secrets, ...(needs.database === undefined ? [] : [needs.database])];
  if (secrets.length > 0) throw new PackageError(`it asks for secrets (${secrets.join(", ")}): ${how}`);
}
