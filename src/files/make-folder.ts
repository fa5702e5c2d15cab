// Makes a folder and its parents. `mkdir` with `recursive` is not used: it never ends if a parent exists but takes no
// folders (`/proc/x`, Node 26.10).
import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

/** New folders are readable only by the owner. Rejects with the system's error. */
export async function makeFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) await makeFolder(parent);
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    // Another process may have made it first.
    if (!(await isFolder(path))) throw error;
  }
}

/** Makes the folder and a probe file in it. @returns the system's error code, or message; undefined = it works */
export async function folderTrouble(path: string): Promise<string | undefined> {
  const probe = join(path, `.probe.${process.pid}`);
  try {
    await makeFolder(path);
    await (await open(probe, "w", 0o600)).close();
    await rm(probe, { force: true });
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  }
}

export async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
