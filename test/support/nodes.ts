// Fetches other versions of Node than the one that runs the tests, from the npm registry: the published npm package is
// tested on them.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { arch, platform } from "node:process";
import { join } from "node:path";

const folder = join(import.meta.dirname, "../../node_modules/.cache/nodes");
/** The latest versions of the release lines that the package supports, besides the pinned one. */
const versions = ["22.23.3", "24.21.0"];
const packageName = `${platform === "darwin" && arch === "arm64" ? "node-bin" : "node"}-${platform}-${arch}`;

export interface Node {
  readonly version: string;
  /** Undefined = it could not be fetched. */
  readonly path: string | undefined;
}

function pathOf(version: string): string {
  return join(folder, version, "node_modules", packageName, "bin/node");
}

/** @returns the running version, and the others */
export function nodes(): Node[] {
  const others = versions.map((version) => ({
    version,
    path: existsSync(pathOf(version)) ? pathOf(version) : undefined,
  }));
  return [{ version: process.versions.node, path: process.execPath }, ...others];
}

/** Fetches missing versions. Reports a version that cannot be fetched: its tests are then skipped. */
export function provideNodes(): void {
  for (const { version } of nodes().filter(({ path }) => path === undefined)) {
    const place = join(folder, version);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "package.json"), '{ "private": true }');
    try {
      const args = ["install", "--prefer-offline", "--ignore-scripts", `${packageName}@${version}`];
      execFileSync("npm", args, { cwd: place, stdio: "pipe", timeout: 60_000 });
    } catch {
      process.stdout.write(`Node ${version} cannot be had from npm: the package is not tried on it\n`);
    }
  }
}
