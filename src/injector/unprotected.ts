// Lists pods that run without a sidecar in namespaces that ask for one: pods from before the label or from a time when
// the injector was unreachable, and pods without one by choice of the namespace or the pod.
import { z } from "zod";
import type { UnprotectedPod } from "../fleet/unprotected.ts";
import { ApiProblem, type KubernetesApi } from "../kubernetes/api.ts";
import { annotationPrefix, injectedAnnotation, notInjectedAnnotation, ownSidecar } from "./annotations.ts";

const pageSize = 500;
/** Bound for one cluster; with more pods the command fails and says so. */
const maxPods = 50_000;
/** Cut to this length, because anybody who creates pods can write the annotation. */
const maxWhy = 500;

const page = z.looseObject({
  metadata: z.looseObject({ continue: z.string().optional() }),
  items: z
    .array(
      z.looseObject({
        metadata: z.looseObject({
          name: z.string(),
          annotations: z.record(z.string(), z.string()).nullish(),
        }),
      }),
    )
    .nullable(),
});
type Item = NonNullable<z.output<typeof page>["items"]>[number];

export interface ListOptions {
  readonly api: Pick<KubernetesApi, "ask">;
  readonly exempt: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** In the order of the API server, namespaces labelled `enabled` first. Rejects with ApiProblem. */
export async function listUnprotected(options: ListOptions): Promise<UnprotectedPod[]> {
  const found: UnprotectedPod[] = [];
  let seen = 0;
  for (const choice of ["enabled", "best-effort"]) {
    const label = encodeURIComponent(`${annotationPrefix}inject=${choice}`);
    for await (const { metadata } of list(`/api/v1/namespaces?labelSelector=${label}`, options)) {
      if (options.exempt.has(metadata.name)) continue;
      for await (const pod of list(podsOf(metadata.name), options)) {
        seen += 1;
        if (seen > maxPods) throw new ApiProblem(`there are more than ${maxPods} pods to look at`);
        const why = whyUnprotected(pod);
        if (why !== undefined) found.push({ namespace: metadata.name, pod: pod.metadata.name, why });
      }
    }
  }
  return found;
}

/** Pods that have ended need no sidecar. */
function podsOf(namespace: string): string {
  const running = encodeURIComponent("status.phase!=Succeeded,status.phase!=Failed");
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?fieldSelector=${running}`;
}

async function* list(path: string, { api, signal }: ListOptions): AsyncGenerator<Item> {
  let from = "";
  do {
    const query = `&limit=${pageSize}${from === "" ? "" : `&continue=${encodeURIComponent(from)}`}`;
    const { document } = await api.ask({ method: "GET", path: path + query, metadataOnly: true, signal });
    const { success, data } = page.safeParse(document);
    if (!success) throw new ApiProblem(`${path} is answered by no list`);
    const { items, metadata } = data;
    yield* items ?? [];
    from = metadata.continue ?? "";
  } while (from !== "");
}

function whyUnprotected({ metadata }: Item): string | undefined {
  const annotations = metadata.annotations ?? {};
  const said = annotations[notInjectedAnnotation];
  if (annotations[injectedAnnotation] === ownSidecar) return undefined;
  if (annotations[`${annotationPrefix}inject`] === "false") return `${annotationPrefix}inject is "false"`;
  if (said !== undefined) return said.slice(0, maxWhy);
  if (annotations[injectedAnnotation] !== undefined) return undefined;
  return "made before its namespace asked for sidecars, or while the injector could not be reached: restart it";
}
