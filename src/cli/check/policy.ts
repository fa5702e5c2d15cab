// Checks the policy: whether there is one that this sidecar would accept, and who may sign it.
import { pluginsByName } from "../../app/registry.ts";
import type { Config } from "../../config/config.ts";
import { PolicyRefused, problemText } from "../../policy/document/problems.ts";
import {
  createPolicyReader,
  type EffectivePolicy,
  layerKey,
  type RawPolicy,
  sharedKey,
} from "../../policy/read.ts";
import { digestsOf } from "../../policy/status.ts";
import type { FindPackages } from "../../policy/extensions/resolve.ts";
import { keySetKey, keySetMaxBytes } from "../../policy/signature/key-sets.ts";
import { readPolicyFile } from "../../policy/sources/file-source.ts";
import { createStore } from "../../redis/store.ts";
import { StoreUnavailable } from "../../plugin-api/store.ts";
import { lintFor } from "../lint-text.ts";
import { type PolicyPackages, withPolicyPackages } from "../policy-packages.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { checkOf } from "./finding.ts";
import { checkKeys, checkKeySet, checkSignatures } from "./signing.ts";

const limitMs = 3_000;

export async function checkPolicy(config: Config): Promise<CheckFinding[]> {
  const keys = await checkKeys(config);
  // Keys that cannot be used make every policy refused.
  if (keys.some(({ state }) => state === "fail")) return keys;
  return [...keys, ...(config.redis === undefined ? await checkFile(config) : await checkStored(config))];
}

async function checkFile(config: Config): Promise<CheckFinding[]> {
  const check = checkOf("policy");
  const { policyFile, policyMaxBytes } = config;
  if (policyFile === undefined)
    return [
      check.warn("the built-in one, which logs and forwards", "set OUTRIGGER_POLICY_FILE or REDIS_URL"),
    ];
  const reading = await readPolicyFile(policyFile, policyMaxBytes);
  if (reading.state !== "read") return [check.fail(reading.message, "correct OUTRIGGER_POLICY_FILE")];
  return await judged(config, reading.raw, policyFile);
}

async function checkStored(config: Config): Promise<CheckFinding[]> {
  const check = checkOf("policy");
  const { redis, keyPrefix, service, policyMaxBytes, policyKeys, policyFile } = config;
  if (redis === undefined) return [];
  const store = createStore({ address: redis, keyPrefix, connectionName: "outrigger-check" });
  try {
    if (!(await store.whenUp(limitMs)))
      return [check.warn("not looked at: Redis cannot be used", "see redis")];
    const most = Math.ceil(policyMaxBytes * 1.4) + 1_024;
    const [shared, layer, keySet] = await Promise.all([
      store.getBytes(sharedKey, limitMs, most),
      store.getBytes(layerKey(service), limitMs, most),
      policyKeys === undefined ? null : store.getBytes(keySetKey, limitMs, keySetMaxBytes * 2),
    ]);
    if (shared === null) {
      if (policyFile !== undefined) return await checkFile(config);
      return [
        check.fail(
          `Redis has no ${keyPrefix}${sharedKey}: a sidecar that starts now answers 503`,
          "outrigger policy apply FILE",
        ),
      ];
    }
    const raw = { shared, layer: layer ?? undefined, format: "json", standing: true } as const;
    const name = `${keyPrefix}${sharedKey}`;
    if (keySet === null || policyKeys === undefined) return await judged(config, raw, name);
    return [
      ...(await checkKeySet(policyKeys, keySet)),
      ...(await judged(config, { ...raw, keySets: [keySet] }, name)),
    ];
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    return [check.fail(`cannot be read: ${error.message}`, "see redis and rights")];
  } finally {
    store.close();
  }
}

const short = (digest: string): string => `${digest.slice(0, 12)}…`;

/** The digests of the documents, by which history and heartbeats name them, and of the effective policy. */
function digestsText(raw: RawPolicy, effective: string): string {
  const { shared, layer } = digestsOf(raw);
  const documents = layer === null ? short(shared) : `${short(shared)} and ${short(layer)}`;
  return `document sha256 ${documents}, effective ${short(effective)}`;
}

async function judged(config: Config, raw: RawPolicy, name: string): Promise<CheckFinding[]> {
  const check = checkOf("policy");
  const { service } = config;
  try {
    const { routes, digest, overruled, signatures, extensions } = await readAsSidecar(config, raw);
    const layered = raw.layer === undefined ? "" : ` with the layer of ${service}`;
    const count = `${routes.length} ${routes.length === 1 ? "route" : "routes"}`;
    const found = [check.ok(`${name}${layered} is valid, ${count}, ${digestsText(raw, digest)}`)];
    if (overruled[0] !== undefined)
      found.push(
        check.warn(`parts of the layer are overruled: ${problemText(overruled[0])}`, "mend the layer"),
      );
    found.push(...checkSignatures(signatures, Date.now()));
    const whose = raw.layer === undefined ? undefined : service;
    const { findings, left } = await lintFor(config, raw, whose, extensions);
    const [first] = findings;
    if (first !== undefined) {
      const count = findings.length + left;
      const message = `${count} ${count === 1 ? "warning" : "warnings"}, the first: ${first.message} [${first.code}]`;
      found.push(check.warn(message, "outrigger policy lint FILE prints them with their places"));
    }
    return found;
  } catch (error) {
    if (!(error instanceof PolicyRefused)) throw error;
    const [first] = error.problems;
    const more = error.problems.length - 1;
    const text = `${first === undefined ? "" : problemText(first)}${more > 0 ? ` (and ${more} more)` : ""}`;
    return [
      check.fail(
        `${name} is refused: ${text}`,
        "mend it; outrigger policy validate FILE lists every problem",
      ),
    ];
  }
}

/** Reads as a sidecar does: an extension that is not pinned is refused. */
async function readAsSidecar(config: Config, raw: RawPolicy): Promise<EffectivePolicy> {
  const {
    service,
    upstream: ownUpstream,
    upstreamAllow,
    policyKeys: keys,
    policyMaxBytes: maxBytes,
  } = config;
  const read = async ({ store }: PolicyPackages): Promise<EffectivePolicy> => {
    const packages: FindPackages = (entries) => store.packages(entries);
    const options = { plugins: pluginsByName, packages, service, upstreamAllow, ownUpstream, keys, maxBytes };
    return (await createPolicyReader(options))(raw);
  };
  return await withPolicyPackages(config, read, true);
}
