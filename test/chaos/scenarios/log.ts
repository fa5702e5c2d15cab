// Faults of the destinations of log lines.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mainFile } from "../../support/process.ts";
import { eventually, freePort } from "../../support/redis.ts";
import type { Scenario } from "../scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    group: "log",
    fault: "the disk under stdout's file is full for a while",
    promised: "requests go on; lines are written once there is room, and a line says what was lost",
    async run(scene) {
      const folder = mkdtempSync(join(tmpdir(), "outrigger-chaos-log-"));
      scene.after(() => rmSync(folder, { recursive: true }));
      const path = join(folder, "log");
      const fd = openSync(path, "a");
      const port = await freePort();
      const env = {
        PATH: process.env["PATH"],
        OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
        OUTRIGGER_ADMIN: "127.0.0.1:0",
        OUTRIGGER_UPSTREAM: "http://127.0.0.1:9",
      };
      // A limit on file size simulates a full disk: it can be lifted.
      const child = spawn("prlimit", ["--fsize=8192:unlimited", process.execPath, mainFile, "run"], {
        env,
        stdio: ["ignore", fd, "ignore"],
      });
      scene.after(() => child.kill("SIGKILL"));
      const ask = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/x`)).status;
      await eventually("it serves", async () => (await ask().catch(() => 0)) === 502);
      const requests = 200;
      for (let i = 0; i < requests; i += 1) assert.equal(await ask(), 502);
      await eventually("the disk is full", () => readFileSync(path).length === 8192);
      execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited"]);
      const lines = (): Record<string, unknown>[] =>
        readFileSync(path, "utf8")
          .split("\n")
          .slice(0, -1)
          .map((line) => JSON.parse(line) as Record<string, unknown>);
      const told = ({ msg }: Record<string, unknown>): boolean => msg === "stdout accepts log lines again";
      await eventually("the log goes on", () => lines().some(told));
      child.kill("SIGTERM");
      await once(child, "exit");
      closeSync(fd);
      const access = lines().filter(({ msg }) => msg === "request").length;
      assert.ok(access >= requests, `${access} of ${requests} lines`);
      return `${access} requests answered and logged, ${String(lines().find(told)?.["lostLines"])} lines lost`;
    },
  },
];
