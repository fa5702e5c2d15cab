// The `cache` commands, their arguments and options.
import type { Command } from "commander";
import type { PurgeOptions } from "./cache-purge.ts";
import type { Terminal } from "./terminal.ts";

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** @param choose takes what is to be run once the arguments are right */
export function addCacheCommands(
  program: Command,
  terminal: Terminal,
  choose: (run: () => Promise<number>) => void,
): void {
  const cache = program.command("cache").description("work on cached responses");
  cache
    .command("purge")
    .description("purge stored responses at every sidecar of a service")
    .option("--url <url>", "http://host/path?query, or /path?query of any host; repeatable", collect)
    .option("--prefix <prefix>", "everything that begins with http://host/path or /path; repeatable", collect)
    .option("--tag <tag>", "everything with this Cache-Tag or Surrogate-Key; repeatable", collect)
    .option("--all", "everything")
    .option("--soft", "mark stale instead of removing")
    .option("--service <name>", "whose cache (default: OUTRIGGER_SERVICE)")
    .option("--json", "print JSON")
    .action((options: PurgeOptions) =>
      choose(async () => (await import("./cache-purge.ts")).purgeCache(terminal, options)),
    );
}
