// Answers an AdmissionReview (admission.k8s.io/v1) with an AdmissionReview.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import { annotationPrefix, notInjectedAnnotation } from "./annotations.ts";
import { inject } from "./inject.ts";
import { annotate, type Operation } from "./patch.ts";
import { type Pod, podName, podSchema } from "./pod.ts";
import { Refusal, type RefusalReason } from "./refusal.ts";
import type { SettleOptions } from "./settle.ts";

const reviewSchema = z.looseObject({
  apiVersion: z.literal("admission.k8s.io/v1"),
  kind: z.literal("AdmissionReview"),
  request: z.looseObject({
    uid: z.string().min(1).max(128),
    kind: z.looseObject({ group: z.string(), kind: z.string() }),
    operation: z.string(),
    subResource: z.string().optional(),
    namespace: z.string().max(253).default(""),
    object: z.unknown(),
  }),
});

/** What a namespace prefers when a pod cannot get a sidecar: refuse the pod, or admit it without one. */
export type Otherwise = "refuse" | "admit";

export interface ReviewOptions extends SettleOptions {
  /** Namespaces whose pods pass unchanged: the injector's own and the cluster's. */
  readonly exempt: ReadonlySet<string>;
}

/** The outcome, for log and metrics. */
export interface Verdict {
  readonly result: "injected" | "unchanged" | "opted_out" | "exempt" | "refused" | "admitted_without";
  readonly reason: RefusalReason | "";
  readonly namespace: string;
  readonly pod: string;
  readonly service?: string;
  readonly message?: string;
}

export interface Reviewed {
  readonly verdict: Verdict;
  /** The whole AdmissionReview. */
  readonly answer: object;
}

/** The call was not a review by an API server. */
export class NoReview extends Error {
  override readonly name = "NoReview";
}

/** @throws NoReview */
export function review(body: string, otherwise: Otherwise, options: ReviewOptions): Reviewed {
  const request = requestIn(body);
  const { uid, namespace } = request;
  const answer = (response: object): object => ({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: { uid, ...response },
  });
  if (options.exempt.has(namespace))
    return {
      verdict: { result: "exempt", reason: "", namespace, pod: "" },
      answer: answer({ allowed: true }),
    };
  let pod: Pod | undefined;
  try {
    pod = podOf(request);
    const found = inject(pod, options);
    const told = { result: found.kind, reason: "", namespace, pod: podName(pod) } as const;
    if (found.kind === "injected")
      return {
        verdict: { ...told, service: found.service, ...sharedNote(pod) },
        answer: answer({ allowed: true, ...sharedWarning(pod), ...patched(found.patch) }),
      };
    if (found.kind === "unchanged") return { verdict: told, answer: answer({ allowed: true }) };
    const patch = found.patch.length > 0 ? patched(found.patch) : {};
    return {
      verdict: told,
      answer: answer({ allowed: true, ...(found.bringsOwn ? {} : optedOutWarning), ...patch }),
    };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const told = { reason: error.reason, namespace, pod: pod ? podName(pod) : "", message: error.message };
    if (otherwise === "refuse" || pod === undefined)
      return { verdict: { result: "refused", ...told }, answer: answer(refusedBy(error)) };
    const note = annotate(pod, { [notInjectedAnnotation]: error.message });
    const warnings = [`outrigger: admitted without sidecar: ${error.message}`];
    return {
      verdict: { result: "admitted_without", ...told },
      answer: answer({ allowed: true, warnings, ...patched(note) }),
    };
  }
}

/**
 * Every list or object with more than one member needs commas. A pod has hundreds. Parsing millions of anything would
 * block the injector for seconds, and everybody in the cluster can reach it.
 */
const maxCommas = 50_000;

function hasMoreCommas(text: string): boolean {
  let count = 0;
  for (let at = text.indexOf(","); at !== -1; at = text.indexOf(",", at + 1)) {
    count += 1;
    if (count > maxCommas) return true;
  }
  return false;
}

type AdmissionRequest = z.output<typeof reviewSchema>["request"];

function requestIn(body: string): AdmissionRequest {
  let document: unknown;
  if (hasMoreCommas(body)) throw new NoReview(`more than ${maxCommas} members: no pod has so many`);
  try {
    document = parseJson(body);
  } catch (error) {
    throw new NoReview(error instanceof Error ? error.message : "not JSON");
  }
  const parsed = reviewSchema.safeParse(document);
  if (parsed.success) return parsed.data.request;
  const [issue] = parsed.error.issues;
  throw new NoReview(
    `no AdmissionReview of admission.k8s.io/v1: ${issue?.path.join(".")}: ${issue?.message}`,
  );
}

/** @throws Refusal, also for a request that is not a new pod: somebody changed the webhook configuration */
function podOf(request: AdmissionRequest): Pod {
  const { kind, operation, subResource = "" } = request;
  if (kind.group !== "" || kind.kind !== "Pod" || operation !== "CREATE" || subResource !== "")
    throw new Refusal(
      "malformed",
      `the webhook is for new pods, not ${operation} of ${kind.kind}: mend the rules of its MutatingWebhookConfiguration`,
    );
  const parsed = podSchema.safeParse(request.object);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Refusal("malformed", `the pod cannot be read: ${issue?.path.join(".")}: ${issue?.message}`);
}

const shared =
  "shareProcessNamespace is true: other containers of the pod see the sidecar's processes and, as its user or root, its secrets; leave it out where it is not needed";
const sharedNote = ({ spec }: Pod): object =>
  spec.shareProcessNamespace === true ? { message: shared } : {};
const sharedWarning = ({ spec }: Pod): object =>
  spec.shareProcessNamespace === true ? { warnings: [`outrigger: ${shared}`] } : {};

const optedOutWarning = {
  warnings: [`outrigger: no sidecar, for ${annotationPrefix}inject is "false"`],
};

function patched(patch: readonly Operation[]): object {
  return { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") };
}

function refusedBy({ message }: Refusal): object {
  return { allowed: false, status: { status: "Failure", reason: "Forbidden", code: 403, message } };
}
