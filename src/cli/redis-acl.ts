// Runs `outrigger redis-acl`: prints the Redis user for the sidecars of one service. It may read policies, keys and
// packages, and write only that service's own state. Whoever takes over such a sidecar reaches no other service through
// Redis.
import { loadConfig } from "../app/environment.ts";
import { canaryKey, canaryStateKey } from "../canary/order.ts";
import { shadowKeys } from "../canary/shadow-reports.ts";
import { packagePrefix } from "../extensions/redis-source.ts";
import { enrolledKey, servicesKey } from "../fleet/heartbeat.ts";
import { directKey, documentKeys, type Spread } from "../policy/sources/document-keys.ts";
import { disabledKey } from "../kill-switch/kill-switch.ts";
import { keySetKey } from "../policy/signature/key-sets.ts";
import type { Terminal } from "./terminal.ts";

export interface AclOptions {
  readonly service?: string;
  readonly login?: true;
  readonly fleetLimits?: true;
  readonly json?: true;
}

/**
 * Keys that a sidecar only reads. Keys beside a policy have another name in a Cluster
 * (src/policy/sources/document-keys.ts).
 */
export function readKeys(service: string, spread: Spread): readonly string[] {
  const documents = [undefined, service].map((of) => documentKeys(of, spread));
  return [
    ...documents.flatMap(({ document, applied }) => [document, applied]),
    keySetKey,
    disabledKey,
    "probe",
  ];
}

/** Patterns of keys that a sidecar only reads: API keys, lists of networks, packages of extensions. */
export const readPatterns: readonly string[] = ["apikey:*", "ip-list:*", `${packagePrefix}*`];

/** Patterns of the keys of one service, which only its sidecars write. */
export const ownPatterns = (service: string): readonly string[] => [
  `rl:${service}:*`,
  `cache:${service}:*`,
  `fleet:${service}:*`,
  `live:${service}`,
  `logs:${service}`,
  `jwks:${service}:*`,
  `jwks-lease:${service}:*`,
  // The own keys of plugins, which need no declaration: src/runtime/scoped-services.ts.
  `p:${service}:*`,
];

/** Probe keys, written to prove that changes are reported. Any sidecar may write them, and none reads them. */
const scratch = "scratch*";
/** Channels named like a service's own keys, on which its sidecars report that these have changed. */
const channels = (service: string): readonly string[] => [`cache:${service}:*`];

/** Session keys that sidecars with a browser login share across services. */
const login = ["session:*", "session-index:*", "session-ended:*", "session-lease:*", "session-refreshed:*"];
/** Counts of limits with `sharedBy: fleet`. */
const fleetLimits = ["rl:@fleet:*"];

const commands =
  "+hello +auth +ping +select +info +client|setname +client|id +client|tracking +subscribe +unsubscribe " +
  "+cluster|slots +cluster|shards +cluster|nodes +get +getrange +hlen +hkeys +hstrlen +hget +set +unlink +eval +evalsha +eval_ro +time +xadd +pexpire +zadd " +
  "+zrem +zcount +zcard +zrangebyscore +zremrangebyscore +zremrangebyrank";
/** Uses of API keys: one hash per key, shared by all services. Sidecars may set its fields and nothing else. */
const uses = (prefix: string): string => `(~${prefix}keyuse:* -@all +hset +expire +eval +evalsha)`;

/** A message on the channel of invalidations would reach all services, so sidecars may listen there but not publish. */
const tells = (prefix: string, service: string): string =>
  `(${channels(service)
    .map((channel) => `&${prefix}${channel}`)
    .join(" ")} -@all +publish)`;

/**
 * What the fleet records across services: which services exist, and which policies were SET without the history.
 * Sidecars may only add to it, not read or remove.
 */
const told = (prefix: string): string =>
  `(~${prefix}${servicesKey} ~${prefix}${directKey} -@all +zadd +hlen +hexists +hsetnx +eval +evalsha)`;
/** Where all sidecars are counted. False entries make the others report more rarely, at worst once a minute. */
const counted = (prefix: string): string =>
  `(~${prefix}${enrolledKey} -@all +zadd +zcount +zremrangebyscore +eval +evalsha)`;

/** The audit trail of a service: its sidecars add to it and cannot delete from it. */
const recorded = (prefix: string, service: string): string =>
  `(~${prefix}audit:${service} ~${prefix}audit:${service}:* -@all +xadd +xrange +hset +hsetnx +hget +hkeys +pttl +pexpire +eval +evalsha)`;
/**
 * State of a canary: sidecars of all services write it together, and announce its end. The candidate itself is
 * read-only.
 */
function canaryStates(prefix: string, keyPrefix: string): string {
  const names = [false, true].map((sharded) => canaryStateKey({ sharded, keyPrefix }));
  const keys = names.map((name) => `~${prefix}${literal(name)}`).join(" ");
  const written = `(${keys} -@all +hget +hset +hdel +hlen +hkeys +hgetall +pexpire +eval +evalsha)`;
  return `${written} (&${prefix}${canaryKey} -@all +publish)`;
}

/** Counts of a shadow run, written by sidecars of all services and read only by operators. */
const shadowed = (prefix: string): string =>
  `(~${prefix}${shadowKeys} -@all +hset +hlen +hexists +pexpire +eval +evalsha)`;

/** Escapes glob characters, because Redis matches key patterns as globs. */
function literal(text: string): string {
  return text.replace(/[\\*?[\]^]/g, String.raw`\$&`);
}

/** @returns one `user` line of a Redis configuration, with a placeholder for the password */
export function aclLine(service: string, keyPrefix: string, options: AclOptions = {}): string {
  const prefix = literal(keyPrefix);
  const written = [
    ...ownPatterns(service),
    ...(options.login ? login : []),
    ...(options.fleetLimits ? fleetLimits : []),
  ];
  const names = [false, true].flatMap((sharded) => readKeys(service, { sharded, keyPrefix }));
  const keys = [
    ...[...new Set([...names, canaryKey].map(literal)), ...readPatterns].map((key) => `%R~${prefix}${key}`),
    ...[scratch, ...written].map((key) => `~${prefix}${key}`),
  ];
  const heard = [...channels(service), disabledKey, canaryKey].map((channel) => `&${prefix}${channel}`);
  const user = `user sidecar-${service} on >SIDECAR_PASSWORD resetkeys resetchannels -@all`;
  return `${user} ${keys.join(" ")} &__redis__:invalidate ${heard.join(" ")} ${commands} ${tells(prefix, service)} ${uses(prefix)} ${told(prefix)} ${counted(prefix)} ${recorded(prefix, service)} ${canaryStates(prefix, keyPrefix)} ${shadowed(prefix)}`;
}

/** @returns the exit code */
export function printAcl(terminal: Terminal, options: AclOptions): Promise<number> {
  const config = loadConfig({
    ...terminal.env,
    ...(options.service === undefined ? {} : { OUTRIGGER_SERVICE: options.service }),
  });
  const line = aclLine(config.service, config.keyPrefix, options);
  terminal.out(
    options.json ? `${JSON.stringify({ service: config.service, acl: line }, null, 2)}\n` : `${line}\n`,
  );
  return Promise.resolve(0);
}
