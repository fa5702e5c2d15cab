// Reads declared policies from OutriggerPolicy objects and labelled ConfigMaps of one namespace. With one namespace,
// the rights to write there decide who may write a policy for which service.
import { ApiProblem, type KubernetesApi } from "../kubernetes/api.ts";
import { type KubernetesObject, WatchedList } from "../kubernetes/watched-list.ts";
import { type Declared, isLikePolicy, leftOut, placeOf, type WhenGone } from "./declared.ts";
import type { Outcome } from "./outcome.ts";
import { policyOf } from "./policy-object.ts";
import type { DeclaredSource, SourceState } from "./source.ts";
import { statusOf } from "./status.ts";

const group = "outrigger.dev";
export const configMapLabel = `${group}/policies`;
const whenGoneAnnotation = `${group}/on-delete`;
const reasonAnnotation = `${group}/reason`;

/** Milliseconds for all statuses of one pass: policies that change meanwhile wait no longer than this. */
const reportLimitMs = 20_000;
/** Most declared policies: a ConfigMap may have thousands of keys. */
const maxDeclared = 5_000;

export interface KubernetesSourceOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  readonly whenGone: WhenGone;
  readonly backOffMs?: number;
  readonly now?: () => number;
  /** Whether to list the objects only once, in `read`, without a watch. */
  readonly once?: boolean;
}

export class KubernetesSource implements DeclaredSource {
  readonly name: string;
  readonly #options: KubernetesSourceOptions;
  readonly #policiesPath: string;
  readonly #policies: WatchedList;
  readonly #configMaps: WatchedList;
  #onChange = (): void => {};

  constructor(options: KubernetesSourceOptions) {
    const { api, namespace, backOffMs = 500 } = options;
    this.#options = options;
    this.name = `the namespace ${namespace}`;
    this.#policiesPath = `/apis/${group}/v1/namespaces/${namespace}/outriggerpolicies`;
    const onChange = (): void => this.#onChange();
    this.#policies = new WatchedList({
      api,
      path: this.#policiesPath,
      name: `OutriggerPolicies of the namespace ${namespace}`,
      onChange,
      backOffMs,
    });
    this.#configMaps = new WatchedList({
      api,
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      labelSelector: `${configMapLabel}=true`,
      name: `ConfigMaps of the namespace ${namespace} with the label ${configMapLabel}=true`,
      onChange,
      backOffMs,
    });
  }

  get state(): SourceState {
    const states = [this.#policies.state, this.#configMaps.state];
    const failed = states.find(({ is }) => is === "failed" || is === "listing");
    if (failed !== undefined) return { ok: false, detail: failed.detail ?? "not read yet" };
    const absent = this.#policies.state.is === "absent";
    const detail = absent ? "the cluster has no OutriggerPolicy (crd.yaml): ConfigMaps alone" : "watched";
    const left = leftOut(this.#configMaps.objects.flatMap(likePoliciesIn));
    return { ok: true, detail: left === "" ? detail : `${detail}; ${left}`, leftOut: left };
  }

  start(onChange: () => void, signal: AbortSignal): void {
    this.#onChange = onChange;
    void this.#policies.run(signal);
    void this.#configMaps.run(signal);
  }

  async read(signal: AbortSignal): Promise<readonly Declared[] | undefined> {
    if (this.#options.once === true) {
      await this.#configMaps.list(signal);
      await this.#policies.list(signal);
    }
    const hasPolicies = this.#policies.isComplete || this.#policies.state.is === "absent";
    if (!hasPolicies || !this.#configMaps.isComplete) return undefined;
    const { namespace, whenGone } = this.#options;
    const declared = [
      ...this.#policies.objects.map((object) => declaredBy(object, namespace, whenGone)),
      ...this.#configMaps.objects.flatMap((object) => declaredIn(object, namespace, whenGone)),
    ];
    if (declared.length > maxDeclared)
      throw new Error(`${this.name} declares ${declared.length} policies: ${maxDeclared} are taken at most`);
    return declared;
  }

  async report(outcomes: readonly Outcome[], signal: AbortSignal): Promise<void> {
    const { api, now = Date.now } = this.#options;
    const byOrigin = new Map(outcomes.map((outcome) => [outcome.declared.origin, outcome]));
    const endMono = performance.now() + reportLimitMs;
    let problem: Error | undefined;
    for (const object of this.#policies.objects) {
      const outcome = byOrigin.get(originOf(object, this.#options.namespace));
      // The object has changed since it was read: its status would speak of a generation that nobody has looked at.
      if (outcome?.declared.version !== versionOf(object)) continue;
      const status = statusOf(object, outcome, now());
      if (status === undefined) continue;
      if (performance.now() > endMono) {
        problem ??= new Error("statuses take too long to write: the rest is written next time");
        break;
      }
      const path = `${this.#policiesPath}/${encodeURIComponent(object.metadata.name)}/status`;
      try {
        await api.ask({ method: "PATCH", path, patch: { status }, signal });
      } catch (error) {
        if (!(error instanceof ApiProblem)) throw error;
        // The object was deleted meanwhile; the watch reports that, too.
        if (error.status === 404) continue;
        problem = new Error(`the status of ${originOf(object, this.#options.namespace)}: ${error.message}`);
        if (error.status === 0) break;
      }
    }
    if (problem !== undefined) throw problem;
  }
}

const originOf = ({ metadata }: KubernetesObject, namespace: string): string =>
  `OutriggerPolicy ${namespace}/${metadata.name}`;

function declaredBy(object: KubernetesObject, namespace: string, byDefault: WhenGone): Declared {
  const { generation = 0 } = object.metadata;
  const { service, bytes, format, flaw } = policyOf(object);
  const facts = annotated(object, byDefault);
  const reason = [`generation ${generation}`, facts.reason].filter((part) => part !== "").join(", ");
  const origin = originOf(object, namespace);
  const version = versionOf(object);
  return {
    origin,
    version,
    service,
    bytes,
    format,
    reason,
    whenGone: facts.whenGone,
    flaw: flaw ?? facts.flaw,
  };
}

const versionOf = ({ metadata: { uid, generation = 0 } }: KubernetesObject): string => `${uid} ${generation}`;

/** @returns one declared policy for each key of the ConfigMap that names one */
function declaredIn(object: KubernetesObject, namespace: string, byDefault: WhenGone): Declared[] {
  const { flaw, ...facts } = annotated(object, byDefault);
  return dataOf(object).flatMap(([key, text]) => {
    const place = placeOf(key);
    if (place === undefined || typeof text !== "string") return [];
    const origin = `ConfigMap ${namespace}/${object.metadata.name} ${key}`;
    return [{ origin, ...place, bytes: Buffer.from(text), ...facts, flaw }];
  });
}

const dataOf = (object: KubernetesObject): [string, unknown][] =>
  Object.entries(Object(object["data"]) as Record<string, unknown>);

/** @returns the keys that look like mistyped policies */
const likePoliciesIn = (object: KubernetesObject): string[] =>
  dataOf(object).flatMap(([key]) => (isLikePolicy(key) ? [`${object.metadata.name} ${key}`] : []));

function annotated(
  { metadata: { annotations = {} } }: KubernetesObject,
  byDefault: WhenGone,
): Pick<Declared, "reason" | "whenGone" | "flaw"> {
  const said = annotations[whenGoneAnnotation];
  const reason = (annotations[reasonAnnotation] ?? "").slice(0, 120);
  if (said === undefined || said === "keep" || said === "remove")
    return { reason, whenGone: said ?? byDefault };
  return {
    reason,
    whenGone: "keep",
    flaw: `metadata.annotations["${whenGoneAnnotation}"]: must be keep or remove`,
  };
}
