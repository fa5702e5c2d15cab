// Declares the `plugin` commands with their arguments and options. The commands for authors are in author-commands.ts.
import type { Command } from "commander";
import { type Choose, json } from "./command-parts.ts";
import { addAuthorCommands } from "./author-commands.ts";
import type { InspectOptions } from "./package-inspect.ts";
import type { ListPackagesOptions } from "./package-list.ts";
import type { RemoveOptions } from "./package-remove.ts";
import type { SearchOptions } from "./package-search.ts";
import type { Terminal } from "./terminal.ts";

const inPlace = [
  "--in <place>",
  "redis:, file:FOLDER, an index (file:….json, https://….json) or oci://…",
  "redis:",
] as const;
export function addPackageCommands(program: Command, terminal: Terminal, choose: Choose): void {
  const plugin = program
    .command("plugin")
    .description("make packages of plugins that are not built in, hand them on, look at them");
  addAuthorCommands(plugin, terminal, choose);
  addPlaceCommands(plugin, terminal, choose);
}

function addPlaceCommands(plugin: Command, terminal: Terminal, choose: Choose): void {
  plugin
    .command("list")
    .description("print the packages of a place, and which the policy in Redis pins")
    .option(...inPlace)
    .option("--index", "of a folder: print its index.json")
    .option(...json)
    .action((options: ListPackagesOptions) =>
      choose(async () => (await import("./package-list.ts")).listPackages(terminal, options)),
    );
  plugin
    .command("search")
    .description("find packages by a word of their name or description, and say which sidecars can run them")
    .argument("<word>")
    .option(...inPlace)
    .option(...json)
    .action((word: string, options: SearchOptions) =>
      choose(async () => (await import("./package-search.ts")).searchPackages(terminal, word, options)),
    );
  plugin
    .command("inspect")
    .description("print what a package is, what it asks for and who signed it")
    .argument("<what>", "a file, or NAME@VERSION in a place")
    .option(...inPlace)
    .option("--docs", "print its documentation as Markdown")
    .option(...json)
    .action((what: string, options: InspectOptions) =>
      choose(async () => (await import("./package-inspect.ts")).inspectPackage(terminal, what, options)),
    );
  plugin
    .command("remove")
    .description("take a package away, unless the policy in Redis pins it")
    .argument("<name@version>")
    .option("--from <place>", "redis: or file:FOLDER", "redis:")
    .option("--force", "also one that a policy pins")
    .option(...json)
    .action((what: string, options: RemoveOptions) =>
      choose(async () => (await import("./package-remove.ts")).removePackage(terminal, what, options)),
    );
}
