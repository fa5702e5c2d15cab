// Builds the status of an OutriggerPolicy by the API conventions of Kubernetes: conditions with the time of their last
// change.
import { z } from "zod";
import type { KubernetesObject } from "../kubernetes/watched-list.ts";
import { canonicalJson } from "../policy/document/digest.ts";
import { namesakesText, type Outcome, type OutcomeState } from "./outcome.ts";

interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

const reasons: Readonly<Record<OutcomeState, string>> = {
  "in-force": "Applied",
  drifted: "ChangedByOthers",
  refused: "Refused",
  conflict: "ClaimedTwice",
  waiting: "Waiting",
};

const known = z.looseObject({
  conditions: z
    .array(z.looseObject({ type: z.string(), status: z.string(), lastTransitionTime: z.string() }))
    .catch([]),
});

const maxMessage = 1_000;
const maxProblems = 20;

const cut = (text: string): string => (text.length > maxMessage ? `${text.slice(0, maxMessage - 1)}…` : text);

/** @returns the status; undefined = the object has the same already */
export function statusOf(object: KubernetesObject, outcome: Outcome, nowMs: number): object | undefined {
  const { generation = 0 } = object.metadata;
  const before = known.safeParse(object["status"] ?? {}).data?.conditions ?? [];
  const condition = (
    type: string,
    status: Condition["status"],
    reason: string,
    message: string,
  ): Condition => {
    const same = before.find((each) => each.type === type && each.status === status);
    const lastTransitionTime =
      same?.lastTransitionTime ?? new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
    return {
      type,
      status,
      reason,
      message: cut(message),
      observedGeneration: generation,
      lastTransitionTime,
    };
  };
  const { state, message, problems, revision, digest, spread, warnings } = outcome;
  const isThere = state === "in-force";
  const status = {
    observedGeneration: generation,
    // A merge patch deletes a member by null; an unknown value is left out, so the old one stays.
    ...(revision !== null && { revision, digest }),
    problems: problems.slice(0, maxProblems).map((each) => ({ path: each.path, message: cut(each.message) })),
    ...(warnings !== undefined && { warnings: warnings.slice(0, maxProblems).map(cut) }),
    conditions: [
      condition(
        "Synced",
        state === "waiting" ? "Unknown" : isThere ? "True" : "False",
        reasons[state],
        message,
      ),
      ...(spread === undefined ? [] : [converged(spread, condition)]),
    ],
  };
  const has = Object(object["status"]) as Record<string, unknown>;
  const same = Object.entries(status).every(
    ([name, value]) => canonicalJson(has[name]) === canonicalJson(value),
  );
  return same ? undefined : status;
}

function converged(
  spread: NonNullable<Outcome["spread"]>,
  condition: (type: string, status: Condition["status"], reason: string, message: string) => Condition,
): Condition {
  const { concerned, inForce, refused, namesakes } = spread;
  const count = `${inForce} of ${concerned} sidecars have it in force`;
  if (refused.length > 0)
    return condition("Converged", "False", "SidecarsRefuse", `${count}; ${refused.slice(0, 3).join("; ")}`);
  if (inForce === concerned) return condition("Converged", "True", "InForce", count);
  if (namesakes.length > 0)
    return condition("Converged", "False", "SharedNames", count + namesakesText(spread));
  return condition("Converged", "False", "Pending", count);
}
