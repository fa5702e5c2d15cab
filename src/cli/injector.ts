// Runs `outrigger injector`: the admission webhook from start to drain.
import { ConfigError } from "../config/config.ts";
import { FormatError } from "../config/formats.ts";
import { registry } from "../app/registry.ts";
import { startInjector } from "../injector/injector.ts";
import { parseImage, repositoryOf } from "../injector/image.ts";
import type { ReviewOptions } from "../injector/review.ts";
import { run } from "./run.ts";
import type { Terminal } from "./terminal.ts";

export interface InjectorOptions {
  readonly image: string;
  readonly allowImage?: readonly string[];
  readonly redisSecret: string;
  readonly interceptImage: string;
  readonly namespace: string;
  readonly exempt?: readonly string[];
}

/** Namespaces whose pods the cluster needs in order to start. */
const clusterNamespaces = ["kube-system", "kube-public", "kube-node-lease"];

/** @returns the exit code */
export async function runInjector(terminal: Terminal, options: InjectorOptions): Promise<number> {
  let review: ReviewOptions;
  try {
    review = reviewOptions(options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    terminal.err(`${error.message}\n`);
    return 2;
  }
  return await run(terminal.env, (config) => startInjector(config, review));
}

/** @throws ConfigError */
export function reviewOptions(options: InjectorOptions): ReviewOptions {
  const { image, allowImage = [], redisSecret, interceptImage, namespace } = options;
  const problems: string[] = [];
  for (const [option, value] of [
    ["--image", image],
    ["--intercept-image", interceptImage],
    ...allowImage.map((each) => ["--allow-image", each]),
  ] as const)
    try {
      parseImage(value ?? "");
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      problems.push(`${option} ${error.message}`);
    }
  for (const [option, value] of [
    ["--namespace", namespace],
    ["--redis-secret", redisSecret],
  ] as const)
    if (!/^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/.test(value))
      problems.push(
        `${option} must be the name of an object of Kubernetes, not ${JSON.stringify(value.slice(0, 80))}`,
      );
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    defaults: { image, allowedImages: allowImage.map(repositoryOf), redisSecret, interceptImage },
    plugins: registry.map(({ name }) => name),
    exempt: exemptNamespaces(options),
  };
}

/** Namespaces whose pods get no sidecar, whatever their labels say. */
export function exemptNamespaces(options: Pick<InjectorOptions, "namespace" | "exempt">): Set<string> {
  return new Set([...clusterNamespaces, options.namespace, ...(options.exempt ?? [])]);
}
