// Runs `outrigger plugin inspect FILE|NAME@VERSION`: prints what a package is, asks for and costs, and who signed it.
import { stat } from "node:fs/promises";
import { readPackageFile, readSignatureFile } from "../extensions/file-source.ts";
import type { Package } from "../extensions/manifest.ts";
import { carriesManifest, openPackage } from "../extensions/package.ts";
import { type Contracts, contractsIn, fitOf } from "../plane/catalogue.ts";
import { documentationOf } from "../plane/package-docs.ts";
import { needsOf } from "../plane/package-needs.ts";
import { type Vouched, vouchedFor } from "../plane/package-signature.ts";
import { printJson } from "./json-text.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import {
  locationOf,
  type PackagePlaces,
  sourceOf,
  trustFor,
  versionedOf,
  withPackages,
} from "./with-packages.ts";

export interface InspectOptions {
  readonly in: string;
  readonly docs?: true;
  readonly json?: true;
}

interface Inspected {
  readonly package: Package;
  readonly signature: string | undefined;
  /** Whether the package carries its own manifest. */
  readonly carries: boolean;
}

type Row = readonly [label: string, value: string];

const limitMs = 30_000;

/**
 * Throws ConfigError.
 * @returns the exit code: 1 when OUTRIGGER_POLICY_KEYS requires a signature that the package lacks
 */
export async function inspectPackage(
  terminal: Terminal,
  what: string,
  options: InspectOptions,
): Promise<number> {
  const isFile = await stat(what).then(
    () => true,
    () => what.includes("/"),
  );
  const redis = isFile || options.in !== "redis:" ? "if set" : "needed";
  return await withPackages(terminal, redis, async (places) => {
    const found = isFile ? await ofFile(what) : await ofPlace(places, what, options.in);
    if (options.docs) {
      terminal.out(documentationOf(found.package));
      return 0;
    }
    const trusted = await trustFor(places);
    const vouched = await vouchedFor(found.package, found.signature, trusted, Date.now());
    const contracts: Contracts = places.store === undefined ? new Map() : await contractsIn(places.store);
    if (options.json) printJson(terminal, { ...asJson(found, contracts), signature: vouched });
    else printRows(terminal, [...rowsOf(found, contracts), ["signature", signatureText(vouched)]]);
    return trusted === undefined || vouched.state === "signed" ? 0 : 1;
  });
}

/** Leaves out rows without a value. The terminal wraps long rows, so that no digest is cut. */
function printRows(terminal: Terminal, rows: readonly Row[]): void {
  const width = Math.max(...rows.map(([label]) => label.length));
  for (const [label, value] of rows)
    if (value !== "") terminal.out(`${label.padEnd(width)}  ${printable(value)}\n`);
}

async function ofFile(path: string): Promise<Inspected> {
  const bytes = await readPackageFile(path);
  return { ...opened(bytes, { name: "unnamed" }), signature: await readSignatureFile(path) };
}

async function ofPlace(places: PackagePlaces, what: string, place: string): Promise<Inspected> {
  const { name, version } = versionedOf(what);
  const location = place === "redis:" ? `redis:plugin:${name}` : locationOf(place);
  const source = sourceOf(places, location);
  const wanted = { name, location, version };
  const bytes = await source.fetch(wanted, AbortSignal.timeout(limitMs));
  const signature = await source.signature(wanted, AbortSignal.timeout(limitMs));
  return { ...opened(bytes, { name, version }), signature };
}

function opened(
  bytes: Buffer,
  naming: { readonly name: string; readonly version?: string },
): Pick<Inspected, "package" | "carries"> {
  return { package: openPackage(bytes, naming), carries: carriesManifest(bytes) };
}

function asJson({ package: found, carries }: Inspected, contracts: Contracts): Record<string, unknown> {
  const { manifest, kind, bytes, sha256 } = found;
  return {
    manifest: carries ? manifest : null,
    kind,
    bytes: bytes.length,
    sha256,
    fits: fitOf(manifest, contracts),
  };
}

function rowsOf({ package: found, carries }: Inspected, contracts: Contracts): Row[] {
  const { manifest, kind, bytes, sha256 } = found;
  const file: Row[] = [
    ["kind", kind === "wasm" ? "WebAssembly module" : "JavaScript"],
    ["bytes", String(bytes.length)],
    ["SHA-256", sha256],
  ];
  if (!carries) return [...file, ["manifest", "none: the policy says what it would"]];
  const { name, version, apiVersion, description, priority, security, failMode, hooks, cost } = manifest;
  const { here, sidecars, of } = fitOf(manifest, contracts);
  return [
    ["name", name],
    ["version", version],
    ["description", description],
    ...file,
    [
      "plugin contract",
      `${apiVersion}: ${here ? "runs" : "does not run"} on this version${of === 0 ? "" : `, and on ${sidecars} of ${of} sidecars`}`,
    ],
    ["priority", String(priority)],
    ["decides who gets in", security ? "yes" : "no"],
    ["fails", failMode],
    ["hooks", hooks.join(", ")],
    ...needsOf(manifest.needs).map(([label, value]): Row => [`asks for ${label}`, value]),
    ["cost a request", cost ? `${cost.micros} µs, ${cost.bytes} bytes (${cost.measuredWith})` : ""],
  ];
}

function signatureText(vouched: Vouched): string {
  if (vouched.state === "signed") return `by ${vouched.kid ?? "a key without kid"}, which counts`;
  if (vouched.state === "unchecked") return "there is one, unchecked: OUTRIGGER_POLICY_KEYS is not set";
  return vouched.message;
}
