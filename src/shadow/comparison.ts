// Compares how a request went under the policy in force with how it would have gone under the candidate.
import { isDeepStrictEqual } from "node:util";
import type { Fields } from "../plugin-api/fields.ts";
import type { Decision } from "../policy-replay/recorded-request.ts";
import type { RouteSpec } from "../runtime/set-up.ts";
import { provesAlike, untold } from "./not-asked.ts";
import type { Difference } from "./report.ts";

/** How the request went under one of the two policies. */
export interface Side {
  readonly decision: Decision;
  /** Whether the answer was a refusal. */
  readonly refused: boolean;
  /** The route; undefined = none, or unknown. */
  readonly spec: RouteSpec | undefined;
  /** Plugins of the chain that were asked up to the one that answered, itself included. */
  readonly asked: readonly string[];
  /** The request to the service, if there was one: which service, which path and which fields. */
  readonly upstream: { readonly name: string; readonly path: string; readonly fields: Fields } | undefined;
}

export interface CandidateSide extends Side {
  /** Whether the answer comes from a circumstance: a plugin could not do its work. */
  readonly byCircumstance: boolean;
  /** @returns what the plugin asked for that is unknown; "" = nothing */
  readonly lacking: (plugin: string) => string;
}

/**
 * Fields that are not compared: they differ at each request, belong to this hop, or describe the body, which is not
 * sent.
 */
const volatile = new Set([
  "x-request-id",
  "traceparent",
  "tracestate",
  "baggage",
  "content-length",
  "transfer-encoding",
  "expect",
]);

const asks = "auth";

export interface Comparison {
  /** The candidate's answer; null = unknown. */
  readonly becomes: Decision | null;
  /** An unknown answer is the only difference. */
  readonly differences: readonly Difference[];
}

export function compare(was: Side, becomes: CandidateSide): Comparison {
  const route = was.decision.route ?? "";
  const answered = answerOf(was, becomes);
  if ("unknown" in answered)
    return { becomes: null, differences: [withoutAnswer(route, was, becomes, answered.unknown)] };
  const { decision, refused } = answered;
  const differences: Difference[] = [];
  if (decision.route !== was.decision.route)
    differences.push({ route, plugin: "", kind: "route", about: [decision.route ?? "(none)"] });
  const plugin = decision.by ?? was.decision.by ?? "";
  if (!isSame(was.decision, decision)) {
    const kind = refused === was.refused ? "status" : refused ? "refused" : "allowed";
    differences.push({ route, plugin, kind, about: [] });
  } else differences.push(...upstreamDifferences(route, was, becomes));
  return { becomes: decision, differences };
}

/**
 * The difference when the answer is unknown: either the plugin that refused would now let the request through to the
 * unknown plugin, or nothing more can be said.
 */
function withoutAnswer(route: string, was: Side, becomes: Side, { plugin, because }: Untold): Difference {
  const { by } = was.decision;
  const before = becomes.asked.slice(0, becomes.asked.indexOf(plugin));
  const isPassed =
    was.refused && by !== null && by !== plugin && (before.includes(by) || !becomes.asked.includes(by));
  return isPassed
    ? { route, plugin: by, kind: "allowed", about: [`unless ${plugin} refuses it (${because})`] }
    : { route, plugin, kind: "unknown", about: [because] };
}

const isSame = (was: Decision, becomes: Decision): boolean =>
  becomes.by === was.by && (becomes.by === null || becomes.status === was.status);

interface Untold {
  readonly plugin: string;
  readonly because: string;
}

type Answer = Pick<Side, "decision" | "refused"> | { readonly unknown: Untold };

/**
 * @returns the candidate's answer. A plugin that cannot be asked, but has the same route and options, answers as it did
 * in the policy in force: what it let through, it lets through.
 */
function answerOf(was: Side, becomes: CandidateSide): Answer {
  for (const plugin of becomes.asked) {
    const because = untold(plugin, becomes.spec?.pluginConfig[plugin]) || becomes.lacking(plugin);
    if (because === "") continue;
    if (!standsAsBefore(plugin, was, becomes)) return { unknown: { plugin, because } };
    if (was.decision.by === plugin)
      return { ...was, decision: { ...was.decision, route: becomes.decision.route } };
    if (becomes.decision.by === plugin) return { unknown: { plugin, because } };
  }
  const { decision, byCircumstance } = becomes;
  if (byCircumstance)
    return { unknown: { plugin: decision.by ?? "", because: "what others would have answered it" } };
  return becomes;
}

function standsAsBefore(plugin: string, was: Side, { spec, ...becomes }: CandidateSide): boolean {
  if (!was.asked.includes(plugin)) return false;
  const [before, now] = [was.spec?.pluginConfig[plugin], spec?.pluginConfig[plugin]];
  if (plugin === asks) return provesAlike(before, now);
  return was.decision.route === becomes.decision.route && isDeepStrictEqual(before, now);
}

function* upstreamDifferences(route: string, was: Side, becomes: Side): Generator<Difference> {
  const [before, now] = [was.upstream, becomes.upstream];
  if (before === undefined || now === undefined) return;
  const plugin = onlyChanged(was.spec, becomes.spec);
  if (before.name !== now.name) yield { route, plugin: "", kind: "upstream", about: [before.name, now.name] };
  else if (before.path !== now.path) yield { route, plugin, kind: "upstream", about: ["the path or query"] };
  const names = otherFields(before.fields, now.fields);
  if (names.length > 0) yield { route, plugin, kind: "request-fields", about: names };
}

/** @returns the one plugin with other options, or on one side only; "" = several, or none */
function onlyChanged(was: RouteSpec | undefined, becomes: RouteSpec | undefined): string {
  const names = new Set([...(was?.plugins ?? []), ...(becomes?.plugins ?? [])]);
  const changed = [...names].filter(
    (name) =>
      was?.plugins.includes(name) !== becomes?.plugins.includes(name) ||
      !isDeepStrictEqual(was?.pluginConfig[name], becomes?.pluginConfig[name]),
  );
  return changed.length === 1 ? (changed[0] ?? "") : "";
}

function otherFields(before: Fields, now: Fields): string[] {
  const names = new Set<string>();
  for (const fields of [before, now]) fields.forEach((name) => void (volatile.has(name) || names.add(name)));
  return [...names].filter((name) => {
    const [a, b] = [before.getAll(name), now.getAll(name)];
    return (
      a.length !== b.length || a.some((value, i) => value !== b[i] && !(isToken(value) && isToken(b[i])))
    );
  });
}

/** Whether the value looks like a token, which is signed anew for each request. */
const isToken = (value: string | undefined): boolean =>
  value !== undefined && /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(value);
