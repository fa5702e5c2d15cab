// Decides whether an extension may have all rights, or secrets, or make the sidecar open its files. The writer of an
// unsigned policy must not be able to grant these.
import type { ExtensionEntry } from "./entry.ts";
import type { Manifest } from "./manifest.ts";
import { PackageError } from "./package-error.ts";

/**
 * Who grants these rights. `policies`: any policy, because each is signed or in a file, so from the operator. `folder`:
 * packages in OUTRIGGER_PLUGIN_DIR that carry their manifest. `nobody`: no package gets them.
 */
export type RightsGiver = "policies" | "folder" | "nobody";

/** Whether the package must be read from the operator's folder each time, never from memory or the kept copies. */
export const isOfFolder = (giver: RightsGiver, { source, manifest }: ExtensionEntry): boolean =>
  giver === "folder" && source.startsWith("file:") && manifest === undefined;

/**
 * Called before the place is accessed, because the answer could reveal which files exist.
 * @throws PackageError for a file that only the writer of an unsigned policy has named
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

/** @throws PackageError for an entry that asks for rights that nobody has granted */
export function checkRights(giver: RightsGiver, entry: ExtensionEntry, { needs }: Manifest): void {
  if (giver === "policies" || isOfFolder(giver, entry)) return;
  if (entry.runtime === "trusted")
    throw new PackageError(`"trusted" is code with all rights of the sidecar: ${how}`, "runtime");
  const secrets = [...needs.secrets, ...(needs.database === undefined ? [] : [needs.database])];
  if (secrets.length > 0) throw new PackageError(`it asks for secrets (${secrets.join(", ")}): ${how}`);
}
