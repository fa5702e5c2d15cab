// Declares the `explain`, `tap` and `drill` commands with their options.
import type { Command } from "commander";
import { type Choose, json } from "./command-parts.ts";
import type { DrillOptions } from "./drill.ts";
import type { ExplainOptions } from "./explain-options.ts";
import type { TapOptions } from "./tap.ts";
import type { Terminal } from "./terminal.ts";

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

const admin = [
  "--admin <address>",
  "admin listener to ask; again for more, a name is all its addresses",
  collect,
] as const;

export function addExplainCommand(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("explain")
    .description("say why a request went as it did, plugin by plugin, or how one would go")
    .argument("[request-id]", "its X-Request-Id: one of the last 1,000 of a sidecar, or in the log in Redis")
    .option(...admin)
    .option("--request <line>", "one that has not happened: 'GET /path'")
    .option("--header <line>", "of that request: 'Name: value'; again for more", collect)
    .option("--identity <json>", 'who that request is from: {"userId":"u1","scopes":["read"]}')
    .option("--policy <file>", "what decides it (default: the policy in Redis, or OUTRIGGER_POLICY_FILE)")
    .option("--over <file>", "take that policy as a service's layer over this one")
    .option("--service <name>", "the service whose sidecar it is")
    .option(...json)
    .action((id: string | undefined, options: ExplainOptions) =>
      choose(async () => (await import("./explain.ts")).explain(terminal, id, options)),
    );
}

export function addTapCommand(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("tap")
    .description("show heads of exchanges as they end, secrets redacted, until Ctrl-C")
    .option(...admin)
    .option("--route <path>", "of the route with this path, as the policy has it")
    .option("--status <which>", "5xx, 404 or 400-499, several with commas")
    .option("--sample <share>", "of so many: 10% or 0.1 (default: all)")
    .option("--rate <count>", "at most so many a second of each process (default: 50)")
    .option("--for <time>", "for so long, at most 1h (default: 10m)")
    .option("--json", "print each as JSON")
    .action((options: TapOptions) => choose(async () => (await import("./tap.ts")).tap(terminal, options)));
}

export function addDrillCommand(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("drill")
    .description(
      "have a sidecar with OUTRIGGER_DRILLS=on behave as if something failed, and print what callers got",
    )
    .argument(
      "<fault>",
      "redis-down, redis-slow=200ms, upstream-down, issuer-down, plugin-slow=NAME or disk-full",
    )
    .option(...admin)
    .option("--instance <name>", "the sidecar's OUTRIGGER_INSTANCE; may be left out where there is one")
    .option("--for <time>", "for so long, 1s to 10m; it ends by itself", "30s")
    .option(...json)
    .action((fault: string, options: DrillOptions) =>
      choose(async () => (await import("./drill.ts")).drill(terminal, fault, options)),
    );
}
