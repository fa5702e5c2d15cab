// Declares the `plugin` commands for authors: make a plugin, test it, measure it, pack it, publish it.
import { type Command, Option } from "commander";
import { type Choose, json } from "./command-parts.ts";
import type { PackOptions } from "./package-pack.ts";
import type { PublishOptions } from "./package-publish.ts";
import type { SignOptions } from "./package-sign.ts";
import type { BenchOptions } from "./plugin-bench.ts";
import type { InitOptions } from "./plugin-init.ts";
import type { TryOptions } from "./plugin-test.ts";
import type { Terminal } from "./terminal.ts";

const as = [
  "--as <name@version>",
  "of a module without a manifest: its name in the policy, and its version there",
] as const;

export function addAuthorCommands(plugin: Command, terminal: Terminal, choose: Choose): void {
  addKitCommands(plugin, terminal, choose);
  addHandOnCommands(plugin, terminal, choose);
}

function addKitCommands(plugin: Command, terminal: Terminal, choose: Choose): void {
  plugin
    .command("init")
    .description("make the folder of a new plugin, which builds and passes its tests")
    .argument("<name>")
    .addOption(
      new Option("--kind <kind>", "TypeScript, or a proxy-wasm filter in AssemblyScript")
        .choices(["ts", "wasm"])
        .default("ts"),
    )
    .option("--in <folder>", "default: ./<name>")
    .option(...json)
    .action((name: string, options: InitOptions) =>
      choose(async () => (await import("./plugin-init.ts")).initPluginFolder(terminal, name, options)),
    );
  plugin
    .command("test")
    .description(
      "hold a plugin against the rules, run its tests, and make faults happen to it on the real chain",
    )
    .argument("[folder]", "of the plugin", ".")
    .addOption(runtimeOption())
    .option(...json)
    .action((folder: string, options: TryOptions) =>
      choose(async () => (await import("./plugin-test.ts")).testPlugin(terminal, folder, options)),
    );
  plugin
    .command("bench")
    .description("measure what a plugin costs a request, and write that into its manifest.json")
    .argument("[folder]", "of the plugin", ".")
    .addOption(runtimeOption())
    .option("--dry-run", "print it alone")
    .option(...json)
    .action((folder: string, options: BenchOptions) =>
      choose(async () => (await import("./plugin-bench.ts")).benchPlugin(terminal, folder, options)),
    );
}

const runtimeOption = (): Option =>
  new Option("--runtime <runtime>", "where it runs (default: process, a module in wasm)").choices([
    "wasm",
    "process",
    "trusted",
  ]);

function addHandOnCommands(plugin: Command, terminal: Terminal, choose: Choose): void {
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
