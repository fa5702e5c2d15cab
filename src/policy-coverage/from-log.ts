// Finds a service's operations in lines of its access log: those that the service itself answered.
import { knownMethods } from "../language/methods.ts";
import type { RecordedDecision, RecordedRequest } from "../policy-replay/recorded-request.ts";
import { maxOperations } from "./from-openapi.ts";
import type { Operation } from "./operation.ts";

/** Operations by service. */
export interface SeenOperations {
  readonly operations: ReadonlyMap<string, readonly Operation[]>;
  /** Requests that the service did not answer, or for which it has no operation: scanners ask for anything. */
  readonly unanswered: number;
}

/** Statuses by which a service says that it has no such operation. */
const nothingThere = new Set([404, 405, 501]);
const known = new Set(knownMethods);

/** Throws when there are implausibly many operations. */
export function operationsSeen(requests: Iterable<RecordedRequest>): SeenOperations {
  const operations = new Map<string, Map<string, Operation>>();
  let unanswered = 0;
  let count = 0;
  for (const { service, method, path, decision } of requests) {
    if (!isServices(decision) || nothingThere.has(decision.status) || !known.has(method)) {
      unanswered += 1;
      continue;
    }
    const template = path.split("/").map(folded).join("/");
    const own = operations.get(service) ?? new Map<string, Operation>();
    operations.set(service, own);
    const key = `${method} ${template}`;
    if (own.has(key)) continue;
    count += 1;
    if (count > maxOperations)
      throw new Error(
        `the lines have more than ${maxOperations} paths, ids folded: name the operations with --openapi`,
      );
    own.set(key, { method, path: template, example: path });
  }
  const lists = [...operations].map(([service, own]) => [service, [...own.values()]] as const);
  return { operations: new Map(lists), unanswered };
}

/** If a line does not say who answered, only an answer that is no refusal counts as the service's. */
const isServices = ({ by, status }: RecordedDecision): boolean =>
  by === null || (by === undefined && status < 400);

/** Replaces a segment that looks like an id: a number, a UUID, or a long name with digits. */
function folded(segment: string): string {
  if (/^\d+$/.test(segment) || /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i.test(segment)) return "{id}";
  return segment.length >= 16 && /\d/.test(segment) ? "{id}" : segment;
}
