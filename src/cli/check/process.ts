// Checks the process itself: its Node, its limit of open files, the folder that keeps the last good policy.
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { maxOpenFiles } from "../../app/descriptors.ts";
import type { Config } from "../../config/config.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { checkOf } from "./finding.ts";

const testedMajor = 26;

export function checkProcess(config: Config): CheckFinding[] {
  const node = checkOf("node");
  const files = checkOf("open-files");
  const { maxConnections, upstreamConnections, upstreamUpgrades } = config;
  const wanted = maxConnections + upstreamConnections + upstreamUpgrades;
  const most = maxOpenFiles();
  return [
    Number(process.versions.node.split(".")[0]) === testedMajor
      ? node.ok(process.version)
      : node.warn(`${process.version} is not the one that is tested`, `run it by Node ${testedMajor}`),
    most !== undefined && most < wanted
      ? files.warn(
          `the system allows ${most}, and ${wanted} connections are allowed by the settings: fewer are taken`,
          "raise it (ulimit -n, LimitNOFILE=), or lower OUTRIGGER_MAX_CONNECTIONS",
        )
      : files.ok(most === undefined ? "the system does not tell" : `${most} for ${wanted} connections`),
  ];
}

export async function checkStateDir({ stateDir, redis }: Config): Promise<CheckFinding[]> {
  const check = checkOf("state-dir");
  if (stateDir === undefined) {
    if (redis === undefined) return [];
    return [
      check.warn(
        "OUTRIGGER_STATE_DIR is not set: started while Redis is away, this sidecar has no policy",
        "set it to a directory that outlives restarts",
      ),
    ];
  }
  try {
    if (!(await stat(stateDir)).isDirectory()) throw new Error("is no directory");
    await access(stateDir, constants.W_OK | constants.X_OK);
    return [check.ok(stateDir)];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [check.ok(`${stateDir} is not there yet: it is made`)];
    return [check.fail(`${stateDir}: ${code ?? message}`, "let this user write there")];
  }
}
