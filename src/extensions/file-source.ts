// Reads packages from the file system: `file:/plugins/geo.wasm`, or a folder with `<name>@<version>.wasm` or `.cjs`.
import { constants } from "node:fs";
import { type FileHandle, open, opendir, realpath } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { isFolder } from "../files/make-folder.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { maxPackageBytes } from "./package.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";
import { entryIn, type IndexEntry, isIndex, maxIndexBytes, parseIndex, versionsIn } from "./index-file.ts";
import {
  maxSignatureBytes,
  maxVersions,
  namedVersion,
  namesOf,
  type PackageSource,
  versionedName,
  type Wanted,
} from "./source.ts";

const endings = [".wasm", ".cjs"] as const;
const indexMs = 10_000;
/** Most entries of a folder that are looked at. */
const maxEntries = 10_000;

/** @param root OUTRIGGER_PLUGIN_DIR: only files below it are read; undefined = any absolute path */
export function createFileSource(root: string | undefined): PackageSource {
  return {
    fetch: async (wanted, signal) => await found(root, wanted, (path) => readPackageFile(path, signal)),
    signature: async (wanted, signal) => await found(root, wanted, (path) => readSignatureFile(path, signal)),
    async versions(wanted, signal) {
      const path = await inside(root, wanted.location);
      if (isIndex(path)) return versionsIn(await readIndex(path, signal), wanted);
      return (await isFolder(path)) ? versionsIn(await packageFiles(path), wanted) : undefined;
    },
    async list(location, signal) {
      const path = await inside(root, location);
      const all = isIndex(path) ? await readIndex(path, signal) : await packageFiles(path);
      return all.map(({ name, version, file }) => ({ name, version, file, location }));
    },
  };
}

const readIndex = async (path: string, signal: AbortSignal): Promise<readonly IndexEntry[]> =>
  parseIndex(await readPackageFile(path, signal, maxIndexBytes));

/** Reads the wanted file; in a folder, the first of the possible files that exists. */
async function found<Result>(
  root: string | undefined,
  wanted: Wanted,
  read: (path: string) => Promise<Result>,
): Promise<Result> {
  const { name, version } = wanted;
  const path = await inside(root, wanted.location);
  if (isIndex(path)) {
    const { file } = entryIn(await readIndex(path, AbortSignal.timeout(indexMs)), wanted);
    return await read(await inside(root, resolve(dirname(path), file)));
  }
  if (!(await isFolder(path))) return await read(path);
  if (version === undefined)
    throw new PackageError(`${quoted(path)} is a folder: say a version, or name the file`);
  for (const file of namesOf(wanted).flatMap((each) => namedFiles(path, each, version))) {
    const there = await inside(root, file).catch(absent);
    if (there !== undefined) return await read(there);
  }
  throw new PackageUnavailable(`${quoted(path)} holds no ${quoted(versionedName(name, version))}`);
}

/** @returns the text of the signature file beside a package; undefined = there is none */
export async function readSignatureFile(path: string, signal?: AbortSignal): Promise<string | undefined> {
  const bytes = await readPackageFile(`${path}.sig`, signal, maxSignatureBytes).catch(absent);
  return bytes?.toString("latin1").trim();
}

/** The files in which a folder may hold that version. */
export const namedFiles = (folder: string, name: string, version: string): string[] =>
  endings.map((ending) => join(folder, `${versionedName(name, version)}${ending}`));

export interface PackageFile {
  readonly name: string;
  readonly version: string;
  /** Name of the file in its folder. */
  readonly file: string;
}

/** Lists the packages of a folder by their file names. Rejects with PackageUnavailable. */
async function packageFiles(folder: string): Promise<PackageFile[]> {
  const found: PackageFile[] = [];
  try {
    let looked = 0;
    for await (const { name: file } of await opendir(folder)) {
      looked += 1;
      if (looked > maxEntries || found.length >= maxVersions) break;
      const ending = endings.find((each) => file.endsWith(each));
      const named = ending && namedVersion(file.slice(0, -ending.length));
      if (named) found.push({ ...named, file });
    }
  } catch (error) {
    throw unreadable(folder, error);
  }
  return found;
}

/** @returns the real path, links resolved. Rejects when it is outside of `root` */
async function inside(root: string | undefined, location: string): Promise<string> {
  const written = location.replace(/^file:(\/\/(?=\/))?/, "");
  if (written.includes("\0")) throw new PackageError("the path has a NUL");
  if (root === undefined && !written.startsWith("/"))
    throw new PackageError(
      `${quoted(written)} is no absolute path, and OUTRIGGER_PLUGIN_DIR, which it would be below, is not set`,
    );
  const asked = resolve(root ?? "/", written);
  if (root === undefined) return await behindLinks(asked, written);
  const folder = await behindLinks(root, root);
  // Checked before any lookup: the answer must not reveal which files exist outside.
  if (isBelow(asked, resolve(root)) || isBelow(asked, folder)) {
    const path = await behindLinks(asked, written);
    if (isBelow(path, folder)) return path;
  }
  throw new PackageError(`${quoted(written)} is outside of OUTRIGGER_PLUGIN_DIR`);
}

const behindLinks = async (path: string, written: string): Promise<string> =>
  await realpath(path).catch((error: unknown) => {
    throw unreadable(written, error);
  });

const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

/** Reads one file of at most `maxBytes`. Rejects with PackageError or PackageUnavailable. */
export async function readPackageFile(
  path: string,
  signal?: AbortSignal,
  maxBytes = maxPackageBytes,
): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, opening a named pipe would block until somebody writes to it.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size, ...kind } = await file.stat();
    if (!isRegular(kind.mode)) throw new PackageError(`${quoted(path)} is not a regular file`);
    if (size > maxBytes)
      throw new PackageError(`${quoted(path)} has ${size} bytes, and ${maxBytes} are the most`);
    const bytes = Buffer.alloc(size);
    let length = 0;
    for (let count = -1; count !== 0 && length < size; length += count) {
      if (signal?.aborted) throw new PackageUnavailable(`${quoted(path)} has not been read in time`);
      count = (await file.read(bytes, length)).bytesRead;
    }
    return bytes.subarray(0, length);
  } catch (error) {
    if (error instanceof PackageError || error instanceof PackageUnavailable) throw error;
    throw unreadable(path, error);
  } finally {
    await file?.close();
  }
}

const isRegular = (mode: number): boolean => (mode & constants.S_IFMT) === constants.S_IFREG;

function absent(error: unknown): undefined {
  if (error instanceof PackageUnavailable && error.cause === "ENOENT") return undefined;
  throw error;
}

function unreadable(path: string, error: unknown): PackageUnavailable {
  const { code } = error as NodeJS.ErrnoException;
  const why = code === "ENOENT" ? "does not exist" : `cannot be read: ${code ?? textOf(error)}`;
  return new PackageUnavailable(`${quoted(path)} ${why}`, { cause: code });
}
