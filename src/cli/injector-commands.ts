// The `injector` commands and their options.
import type { Command } from "commander";
import { version } from "../version.ts";
import type { InjectorOptions } from "./injector.ts";
import type { Terminal } from "./terminal.ts";

/** @param choose takes what is to be run once the arguments are right */
export function addInjectorCommands(
  program: Command,
  terminal: Terminal,
  choose: (run: () => Promise<number>) => void,
): void {
  program
    .command("injector")
    .description("run the admission webhook of Kubernetes that adds sidecars to pods")
    .option("--image <image>", "image of the sidecars", `outrigger:${version}`)
    .option("--allow-image <image...>", "images whose tags and digests pods may choose besides")
    .option("--redis-secret <name>", "Secret beside the pods, whose key url is REDIS_URL", "outrigger-redis")
    .option("--namespace <name>", "where the injector runs: pods there are let through", "outrigger-system")
    .option("--exempt <namespace...>", "further namespaces whose pods are let through, beside kube-system")
    .action((options: InjectorOptions) =>
      choose(async () => (await import("./injector.ts")).runInjector(terminal, options)),
    );
}
