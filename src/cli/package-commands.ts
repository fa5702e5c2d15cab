// The `plugin` commands, for whoever writes plugins or hands them on: their arguments and options.
import type { Command } from "commander";
import type { InspectOptions } from "./package-inspect.ts";
import type { ListPackagesOptions } from "./package-list.ts";
import type { PackOptions } from "./package-pack.ts";
import type { PublishOptions } from "./package-publish.ts";
import type { RemoveOptions } from "./package-remove.ts";
import type { SearchOptions } from "./package-search.ts";
import type { SignOptions } from "./package-sign.ts";
import type { Terminal } from "./terminal.ts";

type Choose = (run: () => Promise<number>) => void;

const json = ["--json", "print JSON"] as const;
const inPlace = [
  "--in <place>",
  "redis:, file:FOLDER, an index (file:….json, https://….json) or oci://…",
  "redis:",
] as const;
const as = [
  "--as <name@version>",
  "of a module without a manifest: its name in the policy, and its version there",
] as const;

/** @param choose takes what is to be run once the arguments are right */
export function addPackageCommands(program: Command, terminal: Terminal, choose: Choose): void {
  const plugin = program
    .command("plugin")
    .description("make packages of plugins that are not built in, hand them on, look at them");
  addAuthorCommands(plugin, terminal, choose);
  addPlaceCommands(plugin, terminal, choose);
}

function addAuthorCommands(plugin: Command, terminal: Terminal, choose: Choose): void {
  plugin
    .command("pack")
    .description("make one file of a plugin's code and its manifest.json")
    .argument("<path>", "a folder, a .ts or .js file, or a .wasm module")
    .option("--out <file>", "default: <name>@<version>.cjs or .wasm, here")
    .option("--manifest <file>", "default: manifest.json beside the code")
    .option(...json)
    .action((path: string, options: PackOptions) =>
      choose(async () => (await import("./package-pack.ts")).packPlugin(terminal, path, options)),
    );
  plugin
    .command("sign")
    .description("sign a package with a key of OUTRIGGER_POLICY_KEYS, into <file>.sig")
    .argument("<file>")
    .requiredOption("--key <file>", "the private key")
    .option("--expires <time>", "signed for so long, e.g. 30d (default: for good)")
    .option(...as)
    .option(...json)
    .action((file: string, options: SignOptions) =>
      choose(async () => (await import("./package-sign.ts")).signPluginFile(terminal, file, options)),
    );
  plugin
    .command("publish")
    .description("put a package where sidecars find it; what a version stands for never changes")
    .argument("<file>")
    .option("--to <place>", "redis:, file:FOLDER or oci://host/repository", "redis:")
    .option("--key <file>", "sign it with this private key (default: take <file>.sig along)")
    .option(...as)
    .option(...json)
    .action((file: string, options: PublishOptions) =>
      choose(async () => (await import("./package-publish.ts")).publishPlugin(terminal, file, options)),
    );
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
