// Writes this sidecar's heartbeat to the fleet: `fleet:<service>:<instance>`, every few seconds, with an expiry. From
// the replies it learns how many siblings are alive.
import { contractVersion } from "../extensions/manifest.ts";
import type { PolicyStatus } from "../policy/status.ts";
import { type Problem, problemText } from "../policy/document/problems.ts";
import { Poller } from "../policy/sources/poller.ts";
import { replyList, type Store, StoreUnavailable } from "../plugin-api/store.ts";
import { beatOnce, count, enroll, index, leave, tell, withdraw } from "./heartbeat-scripts.ts";
import { bootEnd, newBoot, Namesakes } from "./namesakes.ts";

/** Problems: their number, the first in short, and as many of all as fit. */
interface Told {
  readonly count: number;
  readonly first: string;
  readonly problems: readonly string[];
}

interface ToldBypass {
  readonly state: string;
  readonly detail: string;
}

/** The value of a heartbeat key. Texts are ISO 8601 by the sidecar's clock, numbers are epoch ms by Redis' clock. */
export interface Heartbeat {
  readonly service: string;
  readonly instance: string;
  readonly region: string | null;
  readonly version: string;
  /** Version of the plugin contract that this sidecar implements. */
  readonly contract: string;
  /** Version by name of every plugin that is built in or that the policy in force brings. */
  readonly plugins: Readonly<Record<string, string>>;
  /** What is wrong with plugins, by plugin name. */
  readonly troubles: Readonly<Record<string, string>>;
  readonly upSeconds: number;
  readonly revision: number;
  readonly revisionFrom: PolicyStatus["revisionFrom"];
  readonly layerRevision: number | null;
  readonly digest: string | null;
  readonly documents: PolicyStatus["documents"];
  readonly source: PolicyStatus["source"];
  readonly since: string | null;
  readonly lastError: ({ readonly at: string } & Told) | null;
  /** Parts of the service's layer that do not fit the shared policy and are not in force. */
  readonly overruled: Told | null;
  /** Kill switches in force: plugin, service and route of each. */
  readonly disabled: readonly string[];
  /** This sidecar's part in a canary, and its counts; null = it has none. */
  readonly canary: object | null;
  /** Whether the service can be reached past the sidecar; null = not checked. */
  readonly bypass: ToldBypass | null;
  /** Boot id of another live sidecar with this one's name, "" for one of an older version; null = there is none. */
  readonly namesake: string | null;
  readonly at: string;
  readonly inForceAt: number | null;
  readonly refusedAt: number | null;
  readonly seenAt: number;
  /** Boot id of the process that wrote this. */
  readonly boot: string;
}

export interface HeartbeatOptions {
  readonly store: Store;
  readonly service: string;
  readonly instance: string;
  readonly region?: string | undefined;
  readonly version: string;
  readonly plugins: () => readonly { readonly name: string; readonly version: string }[];
  readonly troubles?: () => Iterable<readonly [name: string, trouble: string]>;
  readonly status: () => PolicyStatus;
  readonly disabled?: () => readonly string[];
  readonly canary?: () => object | null;
  readonly bypass?: () => ToldBypass | null;
  readonly clock: { now(): number };
  /** Called when the number of live sidecars changes. */
  readonly onSize?: (size: number) => void;
  /** Called from time to time while another sidecar has this one's name. @param boot its boot id; "" = unknown */
  readonly onNamesake?: (boot: string) => void;
  readonly everyMs?: number;
  readonly expiryMs?: number;
  /** Up to this number of sidecars of all services, each writes at the full rate; above it, more rarely. */
  readonly fullRateUpTo?: number;
}

export interface HeartbeatSender {
  /** Live sidecars of the service, this one and its namesake included; the last known number without Redis. */
  size(): number;
  /** Sends soon, because the policy has changed or one was refused. */
  trigger(): void;
  /** Stops, and removes this sidecar from the fleet. */
  stop(): Promise<void>;
}

/** Services by the time of their last sidecar's sign of life: the fleet can be listed without a scan of the keys. */
export const servicesKey = "fleet:seen";
/** All sidecars of all services, by the time of their last enrolment. Their number decides how often each writes. */
export const enrolledKey = "fleet:all";
/** Members of a service by the time of their last heartbeat (Redis' clock). Silent ones stay for a while. */
export const membersKey = (service: string): string => `live:${service}`;
export const heartbeatKey = (service: string, instance: string): string => `fleet:${service}:${instance}`;
/** Expiry of a heartbeat key, longer in a large fleet: a sidecar with a key is alive. */
export const heartbeatExpiryMs = 15_000;
const smallFleet = 500;
/** Most times more rarely than in a small fleet. */
const maxStretch = 12;
/** Enrolments: a service stays listed for two hours after its last, a sidecar counts for as long as four may take. */
const enrollMs = { small: 20_000, most: 60_000 };
const enrolledMs = 240_000;
/** How long a silent sidecar stays listed. */
export const lostMs = 3_600_000;

export function startHeartbeat(options: HeartbeatOptions): HeartbeatSender {
  const { everyMs = 5000, fullRateUpTo = smallFleet, onSize } = options;
  const boot = newBoot();
  const namesakes = new Namesakes(boot, (other) => options.onNamesake?.(other));
  let size = 1;
  let fleet = 1;
  let enrolledMono = -Infinity;
  const stretch = (): number => Math.min(Math.max(1, Math.max(size, fleet) / fullRateUpTo), maxStretch);

  async function beat(): Promise<boolean> {
    const stretched = stretch();
    const enrolls = performance.now() - enrolledMono > Math.min(enrollMs.small * stretched, enrollMs.most);
    const expiresMs = Math.ceil((options.expiryMs ?? heartbeatExpiryMs) * stretched);
    const own = { boot, namesake: namesakes.current };
    const { told, live, isNew, enrolled, wroteAt, before } = await send(options, own, expiresMs, enrolls);
    // Redis is unreachable: the store counts and logs that, and the next heartbeat tries again.
    if (!told) return false;
    fleet = enrolled ?? fleet;
    if (namesakes.wrote(wroteAt, before, expiresMs)) sender.trigger();
    // This sidecar is missing in a Redis that had its heartbeats: the data is lost, indexes included. Enrol again soon.
    if (enrolls || isNew) enrolledMono = enrolls ? performance.now() : -Infinity;
    // The fleet is larger than assumed: this key might expire before the next heartbeat, and siblings would count as
    // silent too soon.
    if (isNew || stretch() > 1.5 * stretched) sender.trigger();
    if (stretch() > 1.5 * stretched) return true;
    // Two of one name are one member.
    const all = live + (namesakes.current === null ? 0 : 1);
    if (all !== size) onSize?.(all);
    size = all;
    return true;
  }

  const sender = new Poller({
    read: beat,
    settleMs: 20,
    get pollMs() {
      return everyMs * stretch();
    },
    retryMs: everyMs,
  });
  sender.readNow();
  return {
    size: () => size,
    trigger: () => sender.trigger(),
    async stop() {
      await sender.stop();
      // What is there is the other one's, too, or will be.
      if (namesakes.current === null) await withdrawn(options, boot);
    },
  };
}

async function withdrawn({ store, service, instance }: HeartbeatOptions, boot: string): Promise<void> {
  try {
    const isGone = await store.run(withdraw, [heartbeatKey(service, instance)], [bootEnd(boot)]);
    if (isGone === 1) await store.run(leave, [membersKey(service)], [instance]);
  } catch (error) {
    // Redis is unreachable: the heartbeat expires.
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}

interface Own {
  readonly boot: string;
  readonly namesake: string | null;
}

interface Sent {
  readonly told: boolean;
  /** Number of live sidecars of the service. */
  readonly live: number;
  readonly isNew: boolean;
  /** Number of sidecars of all services; undefined = not asked, or older Redis rights do not allow the count. */
  readonly enrolled: number | undefined;
  /** By Redis' clock. */
  readonly wroteAt: number;
  /** The end of the heartbeat before. */
  readonly before: string;
}

async function send(options: HeartbeatOptions, own: Own, expiresMs: number, enrolls: boolean): Promise<Sent> {
  const { store, service, instance } = options;
  const [key, members] = [heartbeatKey(service, instance), membersKey(service)];
  const args = [...argsOf(options, own, expiresMs), instance, lostMs, own.boot];
  const beats =
    store.sharded === false
      ? [{ script: beatOnce, keys: [key, members], args }]
      : [
          { script: count, keys: [members], args: ["", ...args.slice(1)] },
          { script: tell, keys: [key], args },
        ];
  // Separate commands: Redis rights of an older version may forbid these.
  const indexes = [
    { script: enroll, keys: [enrolledKey], args: [`${service}/${instance}`, enrolledMs] },
    { script: index, keys: [servicesKey], args: [service] },
  ];
  const outcomes = await store.runAll(enrolls ? [...beats, ...indexes] : beats);
  const [counted, enrolled] = [outcomes[0], outcomes[beats.length]];
  const reply = counted?.status === "fulfilled" ? replyList(counted.value) : [];
  const [live, isNew] = reply;
  const tells = outcomes[1];
  const [wroteAt, before] =
    store.sharded === false ? reply.slice(2) : tells?.status === "fulfilled" ? replyList(tells.value) : [];
  return {
    told: outcomes.slice(0, beats.length).every(({ status }) => status === "fulfilled"),
    live: Math.max(1, Number(live) || 1),
    isNew: isNew === 1 && !enrolls,
    enrolled: enrolled?.status === "fulfilled" ? Number(enrolled.value) || 1 : undefined,
    wroteAt: Number(wroteAt),
    before: String(before),
  };
}

function argsOf(options: HeartbeatOptions, { namesake }: Own, expiresMs: number): (string | number)[] {
  const value = { ...heartbeat(options), namesake };
  const nowMs = options.clock.now();
  return [
    JSON.stringify(value).slice(0, -1),
    ageOf(value.since, nowMs),
    ageOf(value.lastError?.at, nowMs),
    expiresMs,
  ];
}

/** @returns ms since that time; "" = there is no time */
function ageOf(time: string | null | undefined, nowMs: number): number | "" {
  return time === null || time === undefined ? "" : Math.max(0, nowMs - Date.parse(time));
}

function heartbeat(
  options: HeartbeatOptions,
): Omit<Heartbeat, "namesake" | "inForceAt" | "refusedAt" | "seenAt" | "boot"> {
  const { service, instance, region = null, version, plugins, status, clock } = options;
  const { revision, revisionFrom, layerRevision, digest, documents, source, since, ...rest } = status();
  const { lastError, overruled } = rest;
  const failed = told(lastError?.problems ?? []);
  return {
    service,
    instance,
    region,
    version,
    contract: contractVersion,
    plugins: Object.fromEntries(plugins().map((plugin) => [plugin.name, plugin.version])),
    troubles: Object.fromEntries(
      [...(options.troubles?.() ?? [])]
        .slice(0, maxTroubles)
        .map(([name, trouble]) => [name, trouble.slice(0, maxTroubleLength)]),
    ),
    upSeconds: Math.floor(process.uptime()),
    revision,
    revisionFrom,
    layerRevision,
    digest,
    documents,
    source,
    since,
    lastError: lastError === null || failed === null ? null : { at: lastError.at, ...failed },
    overruled: told(overruled),
    disabled: (options.disabled?.() ?? []).slice(0, maxDisabled),
    canary: options.canary?.() ?? null,
    bypass: options.bypass?.() ?? null,
    at: new Date(clock.now()).toISOString(),
  };
}

const maxTextLength = 500;
const maxDisabled = 32;
const maxTroubles = 32;
const maxTroubleLength = 200;
/** Length limit of all problems together: heartbeats are written every few seconds. */
const maxTotalLength = 16_384;

function told(problems: readonly Problem[]): Told | null {
  const [first] = problems;
  if (first === undefined) return null;
  const texts: string[] = [];
  let length = 0;
  for (const problem of problems) {
    const text = problemText(problem).slice(0, maxTextLength);
    length += text.length;
    if (length > maxTotalLength) break;
    texts.push(text);
  }
  return {
    count: problems.length,
    first: `${first.path} ${first.message}`.trim().slice(0, maxTextLength),
    problems: texts,
  };
}
