// Runs `outrigger injector pods`: lists pods that run without a sidecar though their namespace asks for one. With Redis
// it keeps the report for `outrigger fleet`.
import { loadConfig } from "../app/environment.ts";
import { type UnprotectedPod, writeUnprotected } from "../fleet/unprotected.ts";
import { listUnprotected } from "../injector/unprotected.ts";
import { ApiProblem, clusterIn, KubernetesApi, NoCluster } from "../kubernetes/api.ts";
import { exemptNamespaces } from "./injector.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { withStore } from "./with-store.ts";

export interface PodsOptions {
  readonly namespace: string;
  readonly exempt?: readonly string[];
  readonly json?: true;
}

const limitMs = 50_000;

/** @param serviceAccount folder of the service account, set by tests. @returns the exit code */
export async function listPods(
  terminal: Terminal,
  options: PodsOptions,
  serviceAccount?: string,
): Promise<number> {
  const config = loadConfig(terminal.env);
  let pods: UnprotectedPod[];
  try {
    const api = new KubernetesApi(clusterIn(terminal.env, serviceAccount));
    const signal = AbortSignal.timeout(limitMs);
    pods = await listUnprotected({ api, exempt: exemptNamespaces(options), signal });
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error;
    const hint =
      error.status === 403
        ? ": give the service account the ClusterRole of deploy/kubernetes/injector/pods.yaml"
        : "";
    terminal.err(`outrigger injector pods: ${error.message}${hint}\n`);
    return error instanceof NoCluster ? 2 : 1;
  }
  if (options.json) terminal.out(`${JSON.stringify({ pods }, null, 2)}\n`);
  else
    printTable(
      terminal,
      ["NAMESPACE", "POD", "WHY"],
      pods.map(({ namespace, pod, why }) => [namespace, pod, why]),
    );
  if (config.redis === undefined) return 0;
  const use = { name: "injector-pods", because: "the report is kept there" };
  return await withStore(terminal, config, use, async (store) => {
    await writeUnprotected(store, config.region ?? "", pods);
    return 0;
  });
}
