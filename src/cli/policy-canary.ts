// Parses the canary options of `outrigger policy apply` (`--canary`, `--traffic`, `--shadow`), starts the canary and
// reports it.
import { defaultGuards, type Guard, guardText, parseGuards } from "../canary/guard.ts";
import { type CanaryOrder, maxSteps } from "../canary/order.ts";
import { durationText, parseDuration } from "../language/duration.ts";
import { readFleet, services as liveServices } from "../plane/fleet.ts";
import type { Current } from "../plane/history.ts";
import { digestOf } from "../policy/document/digest.ts";
import { canaryExit, printCanaryEnd, untilCanaryEnds } from "./canary-wait.ts";
import { epochIn } from "./policy-signed.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { untilSignal } from "./until-signal.ts";
import { documentName, type Plane, PlaneRefusal } from "./with-plane.ts";

export interface CanaryOptions {
  readonly canary?: string;
  readonly traffic?: string;
  readonly shadow?: true;
  readonly sample?: string;
  readonly services?: string;
  readonly guard?: string;
  readonly for?: string;
  readonly minRequests?: string;
  readonly every?: string;
}

export interface WantedCanary {
  readonly by: "instances" | "traffic" | "shadow";
  readonly steps: readonly number[];
  readonly services: readonly string[] | null;
  readonly guards: readonly Guard[];
  readonly forMs: number;
  readonly everyMs: number;
  readonly minRequests: number;
}

const parts = ["services", "guard", "for", "minRequests", "every"] as const;

/** @returns the canary; a text = what is wrong with the options; undefined = no canary */
export function parseCanary(
  options: CanaryOptions & { readonly service?: string },
): WantedCanary | string | undefined {
  const { canary, traffic } = options;
  if (options.shadow === true) return parseShadow(options);
  if (options.sample !== undefined) return "--sample goes with --shadow";
  if (canary !== undefined && traffic !== undefined)
    return "--canary tries it on sidecars, --traffic on callers: name one of the two";
  const text = canary ?? traffic;
  if (text === undefined)
    return parts.some((name) => options[name] !== undefined)
      ? "--services, --guard, --for, --min-requests and --every go with --canary or --traffic (of these --services, --for and --every with --shadow, too)"
      : undefined;
  const named = servicesOf(options);
  if (typeof named === "string") return named;
  const steps = parseSteps(text);
  if (typeof steps === "string") return steps;
  const guards = parseGuards(options.guard ?? defaultGuards);
  if (typeof guards === "string") return guards;
  if (steps[0] === 100 && guards.some(({ unit }) => unit === "times"))
    return "a first step of 100% leaves no sidecar to compare with: begin lower, or guard by limits (errors<1%)";
  const pace = parsePace(options, "5m", "1s");
  if (typeof pace === "string") return pace;
  const minRequests = Number(options.minRequests ?? "50");
  if (!Number.isSafeInteger(minRequests) || minRequests < 1 || minRequests > 1_000_000)
    return "--min-requests takes a number of requests from 1";
  const by = canary === undefined ? "traffic" : "instances";
  return { by, steps, services: named, guards, ...pace, minRequests };
}

/** Share of the requests that a shadow gets by default. */
const defaultSample = "10%";

function parseShadow(
  options: CanaryOptions & { readonly service?: string; readonly wait?: string },
): WantedCanary | string {
  const { canary, traffic, guard, minRequests, wait: waits, sample = defaultSample } = options;
  const others = [canary, traffic, guard, minRequests, waits];
  if (others.some((other) => other !== undefined))
    return "--shadow has no effect and no guards: it takes --sample, --services, --for and --every, and ends by policy promote or abort";
  const services = servicesOf(options);
  if (typeof services === "string") return services;
  const steps = parseSteps(sample);
  if (typeof steps === "string" || steps.length > 1)
    return `--sample takes a share of the requests, such as 10%, not "${sample}"`;
  const pace = parsePace(options, "24h", "5s");
  if (typeof pace === "string") return pace;
  return { by: "shadow", steps, services, guards: [], ...pace, minRequests: 1 };
}

/** @returns null = all services; a text = what is wrong with the options */
function servicesOf({
  services,
  service,
}: CanaryOptions & { readonly service?: string }): readonly string[] | null | string {
  if (services !== undefined && service !== undefined)
    return "a layer is of one service: --services goes with the shared policy";
  const names = services?.split(",").map((name) => name.trim());
  return names?.filter((name) => name !== "") ?? null;
}

function parsePace(
  options: CanaryOptions,
  usualFor: string,
  usualEvery: string,
): { forMs: number; everyMs: number } | string {
  const [forMs, everyMs] = [parseTime(options.for ?? usualFor), parseTime(options.every ?? usualEvery)];
  if (forMs === undefined || everyMs === undefined || everyMs > 60_000 || everyMs < 50 || forMs < everyMs)
    return "--for takes a time such as 5m, --every one from 50ms to 1m that is not longer";
  return { forMs, everyMs };
}

/** Parses a duration, or a number of milliseconds. @returns milliseconds */
function parseTime(text: string): number | undefined {
  const [, digits] = /^(\d{1,7})ms$/.exec(text) ?? [];
  return digits === undefined ? parseDuration(text) : Number(digits);
}

function parseSteps(text: string): readonly number[] | string {
  const steps = text
    .split(",")
    .map((each) => Number(/^\s*(\d{1,3}(?:\.\d{1,4})?)%\s*$/.exec(each)?.[1] ?? NaN));
  const isWrong = steps.some((step, i) => !(step > (steps[i - 1] ?? 0) && step <= 100));
  return isWrong || steps.length > maxSteps
    ? `--canary and --traffic take percents that rise, such as 10% or 5%,25%,100%, at most ${maxSteps}, not "${text}"`
    : steps;
}

/** How long a sidecar's figures may be missing. */
const silentMs = (everyMs: number): number => Math.max(10_000, 5 * everyMs);

export interface BegunCanary {
  readonly wanted: WantedCanary;
  readonly service: string | undefined;
  readonly reason: string;
  readonly before: Current;
  readonly document: Buffer;
  readonly waitMs: number | undefined;
  readonly json: true | undefined;
}

/** @returns the exit code */
export async function beginCanary(terminal: Terminal, plane: Plane, canary: BegunCanary): Promise<number> {
  const { wanted, service, reason, before, document } = canary;
  if (before.document === undefined)
    throw new PlaneRefusal(
      service === undefined
        ? "there is no policy to go back to, and to compare with: apply it as it is"
        : `there is no ${documentName(service)} to go back to, and to compare with: --services ${service} tries the shared policy at its sidecars alone; a first layer is applied as it is`,
    );
  const digest = digestOf(document);
  if (digest === before.digest)
    throw new PlaneRefusal(`${documentName(service)} holds this already: there is nothing to try`);
  const { steps, guards, services, ...rest } = wanted;
  const alone = await aloneIn(plane, service === undefined ? services : [service]);
  const order = await plane.canaries.begin(
    {
      ...rest,
      steps: [...steps],
      guards: [...guards],
      services: services && [...services],
      silentMs: silentMs(wanted.everyMs),
      service: service ?? null,
      revision: before.revision + 1,
      baseDigest: before.digest,
      digest,
      signedEpoch: epochIn(document) ?? 0,
      author: plane.author,
      reason,
    },
    document,
  );
  return await untilSignal(["SIGINT"], async (stop) => {
    if (canary.json !== true) printBegun(terminal, canary);
    if (wanted.by === "instances" && alone.length > 0)
      terminal.err(
        `${printable(alone.join(", "))} has one live sidecar, which gets it for all callers, with none beside it to compare with: --traffic gives it to a share of them\n`,
      );
    return await reportCanary(terminal, plane, canary, order, stop);
  });
}

/** @returns the exit code */
async function reportCanary(
  terminal: Terminal,
  plane: Plane,
  { service, waitMs, json }: BegunCanary,
  order: CanaryOrder,
  stop: AbortSignal,
): Promise<number> {
  const waited = waitMs === undefined ? undefined : await untilCanaryEnds(plane, order, waitMs, stop);
  if (json) {
    const facts = { document: documentName(service), canary: order, ended: waited?.outcome };
    terminal.out(`${JSON.stringify(facts, null, 2)}\n`);
  }
  if (waited === undefined) return 0;
  printCanaryEnd(terminal, waited, json);
  return canaryExit(waited);
}

function printBegun(terminal: Terminal, { wanted, service, waitMs }: BegunCanary): void {
  const { by, steps, forMs, guards } = wanted;
  if (by === "shadow") {
    terminal.out(
      `shadow of ${documentName(service)} begun, for ${durationText(forMs)}: it decides about ${steps[0]}% of the requests beside the policy, without effect\nwhat it would do otherwise: outrigger policy shadow-report; policy promote, policy abort\n`,
    );
    return;
  }
  const share = by === "instances" ? "of the sidecars" : "of the callers of each sidecar";
  terminal.out(
    `canary of ${documentName(service)} begun: ${steps.map((step) => `${step}%`).join(", ")} ${share}, ${durationText(forMs)} each, guarded by ${guards.map(guardText).join(",")}\n`,
  );
  if (waitMs === undefined)
    terminal.out(
      "the sidecars promote or withdraw it by themselves: outrigger fleet, policy promote, policy abort\n",
    );
}

/**
 * @param named null = all services. Rejects with PlaneRefusal when no sidecar would try the candidate
 * @returns services with one live sidecar; for all services, only if the fleet has just one service
 */
async function aloneIn({ store }: Plane, named: readonly string[] | null): Promise<readonly string[]> {
  const all = named ?? (await liveServices(store));
  if (all.length === 0) throw new PlaneRefusal("no sidecar lives that could try it: outrigger fleet");
  // Reading a whole fleet would cost too much for a hint.
  if (named === null && all.length > 1) return [];
  const alone: string[] = [];
  for (const name of all) {
    const { members } = await readFleet(store, name);
    const live = members.filter(({ state }) => state === "live").length;
    if (live === 0 && named !== null)
      throw new PlaneRefusal(`no sidecar of ${name} lives that could try it: outrigger fleet`);
    if (live === 1) alone.push(name);
  }
  return alone;
}
