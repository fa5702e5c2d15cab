// The settings of SPIFFE: the workload's own identity, and the authorities of others, in files that a rotator writes.
import { readSvidChain } from "../tls/svid.ts";
import { FormatError, shownPath } from "./formats.ts";
import { parseCertificateFile, parseKeyFile } from "./pem.ts";
import { optional, type Parse, type Setting } from "./setting.ts";

/** Checks a file whose first certificate is an X.509 SVID. */
const parseSvidFile: Parse<string> = (path, readFile) => {
  parseCertificateFile(path, readFile);
  if (readSvidChain(readFile(path)) !== undefined) return path;
  throw new FormatError(
    `${shownPath(path)} holds no X.509 SVID: a leaf whose only URI is spiffe://trust-domain/path`,
  );
};

export const spiffeSettings = {
  spiffeCert: optional(
    "OUTRIGGER_SPIFFE_CERT",
    parseSvidFile,
    "X.509 SVID of this workload with its chain (PEM file), which the listener shows; clients are then asked for theirs",
  ),
  spiffeKey: optional("OUTRIGGER_SPIFFE_KEY", parseKeyFile, "Private key (PEM file) of that SVID"),
  spiffeBundle: optional(
    "OUTRIGGER_SPIFFE_BUNDLE",
    parseCertificateFile,
    "Authorities (PEM file) of its trust domain, by which SVIDs of others are checked",
  ),
  spiffeFederatedBundles: optional(
    "OUTRIGGER_SPIFFE_FEDERATED_BUNDLES",
    (path) => path,
    "Folder with the authorities of other trust domains, each in <trust domain>.pem: SVIDs of a domain are checked by its own alone",
  ),
} as const satisfies Record<string, Setting<unknown>>;
