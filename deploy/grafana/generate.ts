// Program: writes the dashboards to the folder of this file, in the format that Grafana imports: `node
// deploy/grafana/generate.ts`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { policy, redis } from "./control.ts";
import { type Dashboard, dashboardJson } from "./panels.ts";
import { plugins } from "./plugins.ts";
import { fleet, service } from "./traffic.ts";

const dashboards: readonly Dashboard[] = [fleet, service, plugins, policy, redis];

const fileOf = ({ uid }: Dashboard): string => `${uid.replace("outrigger-", "")}.json`;
const textOf = (one: Dashboard): string => `${JSON.stringify(dashboardJson(one), undefined, 2)}\n`;

/** The dashboards' texts, by file name. */
export function dashboardFiles(): Map<string, string> {
  return new Map(dashboards.map((one) => [fileOf(one), textOf(one)]));
}

if (import.meta.main)
  for (const [file, text] of dashboardFiles()) writeFileSync(join(import.meta.dirname, file), text);
