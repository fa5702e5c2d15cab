// Reads and writes packages: one file, a WebAssembly module or a CommonJS bundle, with its manifest inside. Reading is
// strict, because the bytes come from others. Writing is reproducible: the same code and manifest give the same bytes.
import { createHash } from "node:crypto";
import semver from "semver";
import type { z } from "zod";
import { parseJson } from "../language/json.ts";
import { contractVersion, manifest as manifestShape, type Manifest, type Package } from "./manifest.ts";
import { optionsSchema } from "./options.ts";
import { PackageError, quoted } from "./package-error.ts";
import { customSection, customSectionBytes, wasmMagic, wasmSections } from "./wasm-sections.ts";

export const maxPackageBytes = 16 * 1_048_576;
export const maxManifestBytes = 65_536;

/** Name of the custom section that holds a module's manifest, as JSON. */
const sectionName = "outrigger.manifest";
/** A bundle begins with this; its manifest follows on the same line. */
const bundleMark = Buffer.from("//outrigger-manifest ");
const newline = 0x0a;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** What the policy says about a package. */
export interface Naming {
  /** Name of the extension. */
  readonly name: string;
  /** Set for a second version of an extension: that extension's name, which the package may have instead. */
  readonly replaces?: string | undefined;
  /** For a module without a manifest. */
  readonly version?: string | undefined;
  /** The manifest of a module that carries none. */
  readonly manifest?: Readonly<Record<string, unknown>> | undefined;
}

export const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** @throws PackageError */
export function readPackage(bytes: Buffer, naming: Naming): Package {
  const found = openPackage(bytes, naming);
  const { name, apiVersion } = found.manifest;
  if (name !== naming.name && name !== naming.replaces)
    throw new PackageError(`the package is of ${quoted(name)}, not ${quoted(naming.name)}`);
  if (!isCompatible(found.manifest))
    throw new PackageError(
      `the package is for the plugin contract ${quoted(apiVersion)}, and this is ${contractVersion}`,
    );
  return found;
}

/** Whether the package works with this version of the plugin contract. */
export function isCompatible({ apiVersion }: Manifest, version: string = contractVersion): boolean {
  return semver.satisfies(version, apiVersion);
}

/**
 * Reads a package of any name and contract version: to look at it, not to run it.
 * @param naming for a module without a manifest; absent = such a module is refused
 * @throws PackageError
 */
export function openPackage(bytes: Buffer, naming?: Naming): Package {
  if (bytes.length > maxPackageBytes)
    throw new PackageError(`the package has ${bytes.length} bytes, and ${maxPackageBytes} are the most`);
  const { kind, json } = carriedManifest(bytes);
  if (json === undefined) {
    if (kind === "js" || naming === undefined)
      throw new PackageError(
        kind === "js"
          ? 'the package carries no manifest: "outrigger plugin pack" makes one that does'
          : "the module carries no manifest: say which it is by --as NAME@VERSION, or pack it with a manifest.json",
      );
    const given = { name: naming.name, version: naming.version ?? "0.0.0", ...naming.manifest };
    return { manifest: checkedManifest(given), kind, bytes, sha256: digestOf(bytes) };
  }
  if (naming?.manifest !== undefined)
    throw new PackageError("the package carries a manifest, and the policy gives another: drop that");
  return { manifest: parseManifest(json), kind, bytes, sha256: digestOf(bytes) };
}

/** Whether the package carries its own manifest. @throws PackageError */
export const carriesManifest = (bytes: Buffer): boolean => carriedManifest(bytes).json !== undefined;

function carriedManifest(bytes: Buffer): { kind: Package["kind"]; json: Buffer | undefined } {
  const { length } = bytes;
  if (length === 0) throw new PackageError("the package is empty");
  if (bytes.subarray(0, wasmMagic.length).equals(wasmMagic)) {
    const section = customSection(wasmSections(bytes), sectionName);
    return { kind: "wasm", json: section && bytes.subarray(section.contents, section.end) };
  }
  if (!bytes.subarray(0, bundleMark.length).equals(bundleMark))
    throw new PackageError(
      `neither a WebAssembly module nor a bundle with a manifest: begins with ${bytes.toString("hex", 0, 8)}`,
    );
  const end = bytes.indexOf(newline);
  if (end === -1) throw new PackageError("the bundle ends within its manifest");
  try {
    utf8.decode(bytes);
  } catch {
    throw new PackageError("the bundle is not UTF-8");
  }
  return { kind: "js", json: bytes.subarray(bundleMark.length, end) };
}

/** @throws PackageError */
function parseManifest(json: Buffer): Manifest {
  if (json.length > maxManifestBytes)
    throw new PackageError(`the manifest has ${json.length} bytes, and ${maxManifestBytes} are the most`);
  let value: unknown;
  try {
    const text = utf8.decode(json);
    // These end a line of JavaScript (ECMA-262 12.3), and so the comment with the manifest: code would follow.
    if (/[\r\u2028\u2029]/u.test(text)) throw new SyntaxError("more than one line");
    value = parseJson(text);
  } catch (error) {
    throw new PackageError(`the manifest is ${error instanceof SyntaxError ? error.message : "not UTF-8"}`);
  }
  return checkedManifest(value);
}

/** @throws PackageError that names the first wrong field */
export function checkedManifest(value: unknown): Manifest {
  const parsed = manifestShape.safeParse(value);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] as z.core.$ZodIssue;
    const where = path.length === 0 ? "" : ` at ${quoted(path.join("."))}`;
    throw new PackageError(`the manifest is wrong${where}: ${message}`);
  }
  try {
    optionsSchema(parsed.data);
  } catch (error) {
    throw new PackageError(`the manifest's options are no usable JSON Schema: ${(error as Error).message}`);
  }
  return parsed.data;
}

/**
 * @param code a module or JavaScript; a manifest that it already carries is replaced
 * @throws PackageError when the result is not a valid package
 */
export function writePackage(code: Buffer, manifest: Manifest): Buffer {
  const json = Buffer.from(manifestText(manifest));
  const bytes = isModule(code) ? intoModule(code, json) : intoBundle(code, json);
  openPackage(bytes);
  return bytes;
}

const isModule = (code: Buffer): boolean => code.subarray(0, wasmMagic.length).equals(wasmMagic);

function intoModule(code: Buffer, json: Buffer): Buffer {
  const old = customSection(wasmSections(code), sectionName);
  const rest = old === undefined ? [code] : [code.subarray(0, old.start), code.subarray(old.end)];
  return Buffer.concat([...rest, customSectionBytes(sectionName, json)]);
}

function intoBundle(code: Buffer, json: Buffer): Buffer {
  const isMarked = code.subarray(0, bundleMark.length).equals(bundleMark);
  const body = isMarked ? code.subarray(code.indexOf(newline) + 1) : code;
  return Buffer.concat([bundleMark, json, Buffer.of(newline), body]);
}

/** One line of text, the same for equal manifests whatever the order of their members. */
function manifestText(manifest: Manifest): string {
  return JSON.stringify(manifest, inOrder).replace(/[\u2028\u2029]/gu, (unit) =>
    unit === "\u2028" ? String.raw`\u2028` : String.raw`\u2029`,
  );
}

function inOrder(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
