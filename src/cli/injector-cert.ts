// Runs `outrigger injector cert`: checks the webhook's certificate once and renews it if needed. A Job and a CronJob of
// Kubernetes run it.
import { FormatError, integer } from "../config/formats.ts";
import { renewCertificate } from "../injector/renew.ts";
import { ApiProblem, clusterIn, KubernetesApi, namespaceOf, NoCluster } from "../kubernetes/api.ts";
import type { Terminal } from "./terminal.ts";

export interface CertOptions {
  readonly namespace?: string;
  readonly service: string;
  readonly secret: string;
  readonly configuration: string;
  readonly days: string;
  readonly json?: true;
}

/**
 * A shorter-lived certificate would be renewed while the previous one is still on its way into the pods; an authority
 * with a longer life is a risk.
 */
const parseDays = integer(2, 825);
const limitMs = 60_000;
/** Names of Kubernetes objects, which become parts of paths. */
const objectName = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/** @param serviceAccount folder of the service account, set by tests. @returns the exit code */
export async function runCert(
  terminal: Terminal,
  options: CertOptions,
  serviceAccount?: string,
): Promise<number> {
  const { service, secret, configuration, json } = options;
  try {
    const days = parseDays(options.days);
    const cluster = clusterIn(terminal.env, serviceAccount);
    const namespace = options.namespace ?? namespaceOf(cluster);
    for (const name of [namespace, service, secret, configuration])
      if (!objectName.test(name))
        throw new FormatError(`${JSON.stringify(name.slice(0, 80))} is no name of an object`);
    const renewal = await renewCertificate({
      api: new KubernetesApi(cluster),
      namespace,
      service,
      secret,
      configuration,
      days,
      nowMs: Date.now(),
      signal: AbortSignal.timeout(limitMs),
    });
    const { renewed, reason, bundled, endsMs } = renewal;
    const ends = new Date(endsMs).toISOString();
    const what = renewed ? `made (${reason})` : "good";
    const told = bundled ? "API servers are told of its authority" : "API servers know its authority";
    terminal.out(
      json
        ? `${JSON.stringify({ renewed, reason, bundled, ends })}\n`
        : `certificate ${what}; ends ${ends}; ${told}\n`,
    );
    return 0;
  } catch (error) {
    if (error instanceof FormatError) {
      terminal.err(`outrigger injector cert: ${error.message}\n`);
      return 2;
    }
    if (!(error instanceof ApiProblem)) throw error;
    terminal.err(`outrigger injector cert: ${error.message}${hint(error.status)}\n`);
    return error instanceof NoCluster ? 2 : 1;
  }
}

function hint(status: number): string {
  if (status === 403)
    return ": give the service account the Role and ClusterRole of deploy/kubernetes/injector/certificate.yaml";
  if (status === 404) return ": apply deploy/kubernetes/injector/injector.yaml first";
  if (status === 409) return ": somebody changes it all the time; run it again";
  return "";
}
