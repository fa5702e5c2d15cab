// Checks the rights that a sidecar's user needs in Redis (`outrigger redis-acl` prints such a user) by trying each: on
// scratch keys, and on keys in use by commands that change nothing.
import { createHash } from "node:crypto";
import type { Inspection } from "../../redis/inspection.ts";
import { canaryKey, canaryStateKey } from "../../canary/order.ts";
import { shadowKeys } from "../../canary/shadow-reports.ts";
import { enrolledKey, servicesKey } from "../../fleet/heartbeat.ts";
import { disabledKey } from "../../kill-switch/kill-switch.ts";
import { directKey, type Spread } from "../../policy/sources/document-keys.ts";
import { ownPatterns, readKeys, readPatterns } from "../redis-acl.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { checkOf } from "./finding.ts";

export interface Try {
  /** The right, as an ACL names it. */
  readonly right: string;
  readonly command: string;
  readonly args: readonly (string | number)[];
  /** What does not work without the right; absent = the sidecar cannot work at all. */
  readonly loses?: string;
}

const revisions = "a policy that was SET by hand has no revision in the history";
const canaries = "it takes no part in canaries of policies";
const nothing = "return 1";
/** Commands that read kill switches (src/redis/bounded-hash.ts), on a key that nothing reads. */
const switchReads = [["eval_ro"], ["hlen"], ["hkeys"], ["hstrlen", "check"], ["hget", "check"]] as const;
const script = "return redis.call('get', KEYS[1])";
const sha1 = createHash("sha1").update(script).digest("hex");

/**
 * @param scratch a key below `scratch` that nothing else uses
 * @param key adds the prefix to a name
 */
export function rightsToTry(service: string, scratch: string, key: (name: string) => string): readonly Try[] {
  const [own, stream, sorted] = [key(scratch), key(`${scratch}:x`), key(`${scratch}:z`)];
  const keyUse = key(`keyuse:${scratch}`);
  const channel = key(`cache:${service}:${scratch}`);
  const told = "changes are looked for each second instead of told";
  const uses = "when a key was used last is not known";
  const rows: (readonly [string, readonly (string | number)[], string?])[] = [
    ["ping", []],
    ["time", []],
    ["info", [], "a replica and a server that loads are found out by their errors only"],
    ["set", [own, "1", "PX", 10_000]],
    ["get", [own]],
    ["getrange", [own, 0, 0], "a policy that is too long is read whole"],
    ["pexpire", [own, 10_000]],
    ["eval", [script, 1, own]],
    ["evalsha", [sha1, 1, own]],
    ["xadd", [stream, "MAXLEN", "~", 10, "*", "check", "1"], "no log stream"],
    ["zadd", [sorted, 1, "check"]],
    ["zcount", [sorted, 0, 1]],
    ["zcard", [sorted]],
    ["zrangebyscore", [sorted, 0, 1]],
    ["zremrangebyscore", [sorted, 5, 6]],
    ["zremrangebyrank", [sorted, 5, 6]],
    ["zrem", [sorted, "check"]],
    ...[own, stream, sorted].map((each) => ["unlink", [each]] as const),
    ["publish", [channel, "check"], "purges are looked for each second instead of told"],
    ["expire", [keyUse, 1], uses],
    ["hset", [keyUse, "check", "1"], uses],
    ["expire", [keyUse, 1], uses],
    ["client|setname", ["outrigger-check"]],
    ["client|id", [], told],
    ["client|tracking", ["off"], told],
    // Last, and ended at once: a connection that is subscribed takes no other commands.
    ["subscribe", ["__redis__:invalidate", channel], told],
    ["unsubscribe", [], told],
  ];
  return rows.map(([name, args, loses]) => {
    const [command = name, part] = name.split("|");
    return {
      right: `+${name}`,
      command,
      args: part === undefined ? args : [part, ...args],
      ...(loses !== undefined && { loses }),
    };
  });
}

/** Rights on the keys that a sidecar uses. The commands change nothing there. */
export function keysToTry(service: string, spread: Spread): readonly Try[] {
  const key = (pattern: string): string => spread.keyPrefix + pattern.replace("*", "check");
  const read = [...readKeys(service, spread), ...readPatterns].map(key);
  const canaryState = spread.keyPrefix + canaryStateKey(spread);
  const shadow = key(shadowKeys);
  const [seen, all, direct] = [key(servicesKey), key(enrolledKey), key(directKey)];
  return [
    ...read.map((name) => ({ right: `%R~${name}`, command: "get", args: [name] })),
    ...ownPatterns(service).map((pattern) => ({
      right: `~${spread.keyPrefix}${pattern}`,
      command: "eval",
      args: [nothing, 1, key(pattern)],
    })),
    { right: `+zadd on ~${seen}`, command: "zadd", args: [seen, "XX", 0, "check"] },
    {
      right: `+zcount on ~${all}`,
      command: "zcount",
      args: [all, 0, 1],
      loses: "heartbeats do not become rarer in a large fleet",
    },
    ...switchReads.map(([command, ...args]) => ({
      right: `+${command}`,
      command,
      args: command === "eval_ro" ? [nothing, 1, key(disabledKey)] : [key("probe"), ...args],
      loses: "no plugin can be switched off",
    })),
    { right: `%R~${key(canaryKey)}`, command: "get", args: [key(canaryKey)], loses: canaries },
    ...(["hget", "hdel"] as const).map((command) => ({
      right: `+${command} on ~${canaryState}`,
      command,
      args: [canaryState, "check"],
      loses: canaries,
    })),
    { right: `+hgetall on ~${canaryState}`, command: "hgetall", args: [canaryState], loses: canaries },
    ...(["hlen", "hexists"] as const).map((command) => ({
      right: `+${command} on ~${shadow}`,
      command,
      args: command === "hlen" ? [shadow] : [shadow, "check"],
      loses: "this sidecar tells nothing of shadow runs",
    })),
    { right: `+hlen on ~${direct}`, command: "hlen", args: [direct], loses: revisions },
    { right: `+hexists on ~${direct}`, command: "hexists", args: [direct, "check"], loses: revisions },
  ];
}

export async function checkRights(
  redis: Inspection,
  service: string,
  spread: Spread,
): Promise<CheckFinding[]> {
  const check = checkOf("rights");
  const key = (name: string): string => spread.keyPrefix + name;
  const scratch = `scratch:check:${crypto.randomUUID()}`;
  const lacking: Try[] = [];
  for (const each of [...keysToTry(service, spread), ...rightsToTry(service, scratch, key)]) {
    const answer = await redis.ask(each.command, ...each.args);
    if (answer.refused === undefined || answer.code === "WRONGTYPE") continue;
    if (answer.code === "NOPERM") lacking.push(each);
    else if (answer.code !== undefined && answer.code !== "ERR")
      return [check.fail(`${each.command}: Redis answers ${answer.code}`, adviceFor(answer.code))];
    else return [check.fail(`${each.command}: ${answer.refused}`, "look at Redis")];
  }
  const advice = `outrigger redis-acl --service ${service} prints the user that has them`;
  const names = (some: readonly Try[]): string => [...new Set(some.map(({ right }) => right))].join(" ");
  const needed = lacking.filter(({ loses }) => loses === undefined);
  const found = [
    ...(needed.length === 0 ? [] : [check.fail(`this user lacks ${names(needed)}`, advice)]),
    ...[...Map.groupBy(lacking, ({ loses }) => loses)].flatMap(([loses, some]) =>
      loses === undefined ? [] : [check.warn(`this user lacks ${names(some)}: ${loses}`, advice)],
    ),
    ...(await checkExcess(redis, service, key)),
  ];
  return found.length === 0
    ? [check.ok("each command and key that a sidecar needs, and no policy to write")]
    : found;
}

const adviceFor = (code: string): string =>
  ({
    READONLY: "it is a read-only replica: name the master, or use redis+sentinel://",
    OOM: "it is full: see maxmemory",
    MISCONF: "it cannot write to its disk: see its log",
  })[code] ?? "look at Redis";

/**
 * Finds rights that a sidecar should not have: Redis refuses even an empty script if the user may not write its key.
 */
async function checkExcess(
  redis: Inspection,
  service: string,
  key: (name: string) => string,
): Promise<CheckFinding[]> {
  const may: string[] = [];
  for (const name of ["policy", "apikey:check"]) {
    const { refused } = await redis.ask("eval", nothing, 1, key(name));
    if (refused === undefined) may.push(name.replace(":check", ":*"));
  }
  if (may.length === 0) return [];
  return [
    checkOf("rights").warn(
      `this user may write ${may.join(" and ")}: whoever takes this sidecar over changes them for all`,
      `use one of its own: outrigger redis-acl --service ${service}`,
    ),
  ];
}
