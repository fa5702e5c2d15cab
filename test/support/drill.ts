// Runs drills as an operator does: by the command, ended early.
import assert from "node:assert/strict";
import { drillStatus, type DrilledRoute, type DrillReport } from "../../src/drills/status.ts";
import { outrigger } from "./process.ts";
import { eventually } from "./redis.ts";

/** @returns the output of the command; the drill has ended, even if the work done meanwhile fails */
export async function drilled(
  { adminUrl }: { readonly adminUrl: string },
  fault: string,
  meanwhile: () => Promise<void>,
): Promise<DrillReport> {
  const admin = adminUrl.slice("http://".length);
  const over = outrigger(["drill", fault, "--admin", admin, "--for", "30s", "--json"]);
  await eventually("the drill has begun", async () => {
    const response = await fetch(`${adminUrl}/drill`);
    return drillStatus.parse(await response.json()).running?.fault === fault;
  });
  try {
    await meanwhile();
  } finally {
    await fetch(`${adminUrl}/drill`, { method: "DELETE" });
  }
  const { code, stdout, stderr } = await over;
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as DrillReport;
}

export const rowOf = ({ routes }: DrillReport, path: string): DrilledRoute | undefined =>
  routes.find(({ route }) => route === path);
