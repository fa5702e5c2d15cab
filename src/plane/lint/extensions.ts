// Lint rules for plugins that are not built in: code that runs with all rights, and code that is not pinned or signed.
import { quoted } from "../../policy/document/problems.ts";
import type { DocumentRule } from "./finding.ts";

const trustedExtension: DocumentRule = {
  code: "trusted-extension",
  about: "A plugin that is not built in and runs with all rights of the sidecar",
  *check({ sources: { shared } }) {
    for (const [name, { runtime }] of Object.entries(shared.document.extensions ?? {})) {
      if (runtime !== "trusted") continue;
      yield {
        place: { document: shared, path: ["extensions", name, "runtime"] },
        message: `${quoted(name)} runs in the sidecar's own process: it can read every secret and stop everything`,
        advice: 'have it run as "wasm" or "process", unless it is your own code',
      };
    }
  },
};

const unpinnedExtension: DocumentRule = {
  code: "unpinned-extension",
  about: "A plugin that is not built in and whose code nothing pins",
  *check({ sources: { shared } }) {
    for (const [name, { sha256 }] of Object.entries(shared.document.extensions ?? {})) {
      if (sha256 !== undefined) continue;
      yield {
        place: { document: shared, path: ["extensions", name] },
        message: `${quoted(name)} has no sha256: sidecars refuse it`,
        advice: "apply it by outrigger policy apply, which fills it in",
      };
    }
  },
};

const unsignedExtension: DocumentRule = {
  code: "unsigned-extension",
  about: "A plugin with all rights of the sidecar, where whoever can write a policy chooses its code",
  *check({ sources: { shared }, isSigned }) {
    for (const [name, { runtime, source }] of Object.entries(shared.document.extensions ?? {})) {
      if (runtime !== "trusted" || isSigned !== false) continue;
      yield {
        place: { document: shared, path: ["extensions", name, "source"] },
        message: `nobody signs which code ${quoted(name)} is: who can write the policy, or ${quoted(source)} before it is applied, chooses what runs in every sidecar`,
        advice: "sign policies and packages, and set OUTRIGGER_POLICY_KEYS",
      };
    }
  },
};

export const extensionRules: readonly DocumentRule[] = [
  trustedExtension,
  unsignedExtension,
  unpinnedExtension,
];
