// Declares the `injector` commands with their options.
import type { Command } from "commander";
import { version } from "../version.ts";
import { type Choose, json } from "./command-parts.ts";
import type { CertOptions } from "./injector-cert.ts";
import type { PodsOptions } from "./injector-pods.ts";
import type { InjectorOptions } from "./injector.ts";
import type { Terminal } from "./terminal.ts";

export function addInjectorCommands(program: Command, terminal: Terminal, choose: Choose): void {
  const injector = program
    .command("injector")
    // Options after `cert` belong to `cert`.
    .enablePositionalOptions()
    .description("run the admission webhook of Kubernetes that adds sidecars to pods")
    .option("--image <image>", "image of the sidecars", `outrigger:${version}`)
    .option("--allow-image <image...>", "images whose tags and digests pods may choose besides")
    .option(
      "--intercept-image <image>",
      "image with nft, for pods whose service's port is taken",
      `outrigger-intercept:${version}`,
    )
    .option("--redis-secret <name>", "Secret beside the pods, whose key url is REDIS_URL", "outrigger-redis")
    .option("--namespace <name>", "where the injector runs: pods there are let through", "outrigger-system")
    .option("--exempt <namespace...>", "further namespaces whose pods are let through, beside kube-system")
    .action((options: InjectorOptions) =>
      choose(async () => (await import("./injector.ts")).runInjector(terminal, options)),
    );
  addCert(injector).action((options: CertOptions) =>
    choose(async () => (await import("./injector-cert.ts")).runCert(terminal, options)),
  );
  addPods(injector).action((options: PodsOptions) =>
    choose(async () => (await import("./injector-pods.ts")).listPods(terminal, options)),
  );
}

function addCert(injector: Command): Command {
  return injector
    .command("cert")
    .description(
      "make the webhook's certificate where none is good for long, and tell API servers of its authority",
    )
    .option("--namespace <name>", "where the injector runs; default: this pod's")
    .option("--service <name>", "the Service in front of it", "outrigger-injector")
    .option("--secret <name>", "the Secret that it mounts", "outrigger-injector-tls")
    .option("--configuration <name>", "the MutatingWebhookConfiguration", "outrigger-injector")
    .option("--days <number>", "how long a certificate is good for; renewed with a third of it left", "90")
    .option(...json);
}

function addPods(injector: Command): Command {
  return injector
    .command("pods")
    .description(
      "list pods that run without sidecar where their namespace asks for one; with REDIS_URL also for fleet",
    )
    .option("--namespace <name>", "where the injector runs: pods there are left out", "outrigger-system")
    .option("--exempt <namespace...>", "further namespaces that are left out, beside kube-system")
    .option(...json);
}
