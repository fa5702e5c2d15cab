// Writes files that are complete at every moment, even if the process ends or the disk is full.
import { open, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";

/** Removes temporary files of processes that ended in the middle of a write; never rejects. */
export async function removeLeftovers(dir: string, path: string): Promise<void> {
  const name = basename(path);
  const isLeftover = (file: string): boolean =>
    file.startsWith(`${name}.`) && /^\d+\.tmp$/u.test(file.slice(name.length + 1));
  const files = await readdir(dir).catch(() => []);
  for (const file of files.filter(isLeftover)) await rm(join(dir, file), { force: true }).catch(() => {});
}

/**
 * Writes a file that only the owner may read, unless `mode` says otherwise. A crash at any moment leaves the old copy
 * or the new one, never half of either.
 */
export async function writeAtomically(
  dir: string,
  path: string,
  text: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await rm(temporary, { force: true });
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // On a full disk, a partial file would take up space for good.
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  // The rename itself is durable only once the folder is synced.
  const folder = await open(dir);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
