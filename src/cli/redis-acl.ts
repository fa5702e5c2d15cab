// `outrigger redis-acl`: the Redis user of one service's sidecars, who reads policies, keys and packages and writes that
// service's own state. Whoever takes such a sidecar over reaches no other service through Redis.
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

/** Keys that a sidecar only reads: what is beside a policy has another name in a Cluster (src/policy/sources/document-keys.ts). */
export function readKeys(service: string, spread: Spread): readonly string[] {
  const documents = [undefined, service].map((of) => documentKeys(of, spread));
  return [
    ...documents.flatMap(({ document, applied }) => [document, applied]),
    keySetKey,
    disabledKey,
    "probe",
  ];
}

/** As patterns: API keys, lists of networks, and packages of extensions. */
export const readPatterns: readonly string[] = ["apikey:*", "ip-list:*", `${packagePrefix}*`];

/** Keys of one service, which its sidecars alone write; as patterns. */
export const ownPatterns = (service: string): readonly string[] => [
  `rl:${service}:*`,
  `cache:${service}:*`,
  `fleet:${service}:*`,
  `live:${service}`,
  `logs:${service}`,
  `jwks:${service}:*`,
  `jwks-lease:${service}:*`,
  // Of plugins that declare none: src/runtime/scoped-services.ts.
  `p:${service}:*`,
];

/** Changed and told of to prove that changes are told: any sidecar may, and nothing is ever read there. */
const scratch = "scratch*";
/** On the channels of its own keys a service's sidecars tell each other that these have changed. */
const channels = (service: string): readonly string[] => [`cache:${service}:*`];

/** What sidecars with a browser login tell each other, of whatever service. */
const login = ["session:*", "session-index:*", "session-ended:*", "session-lease:*", "session-refreshed:*"];
/** Limits with `sharedBy: fleet`. */
const fleetLimits = ["rl:@fleet:*"];

const commands =
  "+hello +auth +ping +select +info +client|setname +client|id +client|tracking +subscribe +unsubscribe " +
  "+cluster|slots +cluster|shards +cluster|nodes +get +getrange +hlen +hkeys +hstrlen +hget +set +unlink +eval +evalsha +eval_ro +time +xadd +pexpire +zadd " +
  "+zrem +zcount +zcard +zrangebyscore +zremrangebyscore +zremrangebyrank";
/** Uses of API keys are one hash a key, over services: fields can be set there, and nothing else. */
const uses = (prefix: string): string => `(~${prefix}keyuse:* -@all +hset +expire +eval +evalsha)`;

/** A word on the channel of invalidations would be heard by all services: sidecars listen there and say nothing. */
const tells = (prefix: string, service: string): string =>
  `(${channels(service)
    .map((channel) => `&${prefix}${channel}`)
    .join(" ")} -@all +publish)`;

/**
 * What a fleet tells over services: which there are, and which policies were SET past the history. Added to, and neither
 * read nor taken away from.
 */
const told = (prefix: string): string =>
  `(~${prefix}${servicesKey} ~${prefix}${directKey} -@all +zadd +hlen +hexists +hsetnx +eval +evalsha)`;
/** Where all sidecars are counted; who lies there makes others tell of themselves more rarely, each minute at worst. */
const counted = (prefix: string): string =>
  `(~${prefix}${enrolledKey} -@all +zadd +zcount +zremrangebyscore +eval +evalsha)`;

/** The audit trail of a service: added to by its sidecars, and nothing there is deleted by them. */
const recorded = (prefix: string, service: string): string =>
  `(~${prefix}audit:${service} ~${prefix}audit:${service}:* -@all +xadd +xrange +hset +hsetnx +hget +hkeys +pttl +pexpire +eval +evalsha)`;
/** What becomes of a canary: sidecars of all services say it together, and that it is over. The candidate they only read. */
function canaryStates(prefix: string, keyPrefix: string): string {
  const names = [false, true].map((sharded) => canaryStateKey({ sharded, keyPrefix }));
  const keys = names.map((name) => `~${prefix}${literal(name)}`).join(" ");
  const written = `(${keys} -@all +hget +hset +hdel +hlen +hkeys +hgetall +pexpire +eval +evalsha)`;
  return `${written} (&${prefix}${canaryKey} -@all +publish)`;
}

/** What sidecars of all services count in a shadow run: written, and read by operators alone. */
const shadowed = (prefix: string): string =>
  `(~${prefix}${shadowKeys} -@all +hset +hlen +hexists +pexpire +eval +evalsha)`;

/** Redis matches key patterns as globs. */
function literal(text: string): string {
  return text.replace(/[\\*?[\]^]/g, String.raw`\$&`);
}

/** @returns one `user` line of a Redis configuration, with a word in place of the password */
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
