// Checks Redis: whether it can be reached, what it is, how far its clock differs from this machine's, and which rights
// this user has.
import type { Config } from "../../config/config.ts";
import { nodesText } from "../../redis/address.ts";
import { type Inspection, inspectRedis } from "../../redis/inspection.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { checkOf } from "./finding.ts";
import { checkRights } from "./rights.ts";

/** Tokens and certificates are judged by this machine's clock, limits and sessions by that of Redis. */
const clockWarnMs = 1_000;
const clockFailMs = 5_000;

/** @param now returns epoch milliseconds */
export async function checkRedis(config: Config, now: () => number): Promise<CheckFinding[]> {
  const { redis: address, keyPrefix, service, policyFile } = config;
  const check = checkOf("redis");
  if (address === undefined) {
    const message = "REDIS_URL is not set: state is in memory";
    return [
      policyFile === undefined ? check.warn(message, "set it, or OUTRIGGER_POLICY_FILE") : check.ok(message),
    ];
  }
  const where = nodesText(address);
  const outcome = await inspectRedis(address, async (redis) => [
    ...(await checkServer(redis, where)),
    await checkClock(redis, now),
    ...(await checkRights(redis, service, { keyPrefix, sharded: address.kind === "cluster" })),
  ]);
  if ("result" in outcome) return outcome.result;
  return [check.fail(`${where} cannot be used: ${outcome.unreachable}`, adviceFor(outcome.unreachable))];
}

function adviceFor(reason: string): string {
  if (/^(WRONGPASS|NOAUTH)/.test(reason)) return "correct user and password in REDIS_URL";
  if (reason.startsWith("NOPERM")) return "grant this user its rights: outrigger redis-acl prints them";
  return "start it, or correct REDIS_URL";
}

async function checkServer(redis: Inspection, where: string): Promise<CheckFinding[]> {
  const check = checkOf("redis");
  const began = performance.now();
  const ping = await redis.ask("ping");
  if (ping.refused !== undefined && ping.code !== "NOPERM")
    return [check.fail(`${where}: PING: ${ping.refused}`, "look at Redis")];
  const ms = Math.max(1, Math.round(performance.now() - began));
  const { reply } = (await redis.ask("info")) as { reply?: unknown };
  const info = typeof reply === "string" ? reply : "";
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1];
  const version = field("valkey_version") ?? field("redis_version");
  const found = [
    check.ok(`${where} answers in ${ms} ms${version === undefined ? "" : `, version ${version}`}`),
  ];
  if (field("role") === "slave")
    found.push(check.fail("it is a read-only replica", "name the master, or use redis+sentinel://"));
  const eviction = field("maxmemory_policy");
  if (eviction?.startsWith("allkeys") === true)
    found.push(
      check.warn(
        `maxmemory-policy ${eviction}: when it is full it may drop the policy and API keys`,
        "take volatile-lru, which drops only what expires",
      ),
    );
  return found;
}

async function checkClock(redis: Inspection, now: () => number): Promise<CheckFinding> {
  const check = checkOf("clock");
  const before = now();
  const answer = await redis.ask("time");
  const after = now();
  if (answer.refused !== undefined)
    return check.warn(`Redis does not tell its clock: ${answer.refused}`, "grant +time");
  const [seconds, micros] = answer.reply as [string, string];
  const theirs = Number(seconds) * 1_000 + Number(micros) / 1_000;
  // The clock was read at some moment between the two.
  const apart = Math.round(Math.max(0, before - theirs, theirs - after));
  const message = `${apart} ms from that of Redis`;
  if (apart > clockFailMs)
    return check.fail(message, "set both by NTP: tokens and sessions end at the wrong time");
  if (apart > clockWarnMs) return check.warn(message, "set both by NTP");
  return check.ok(message);
}
