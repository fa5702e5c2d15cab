// Checks who may sign policies here, and until when the signatures are valid.
import type { Config } from "../../config/config.ts";
import type { PublicKeySet } from "../../config/formats.ts";
import { problemText } from "../../policy/document/problems.ts";
import { createTrust, type SignedDocument } from "../../policy/read.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { checkOf } from "./finding.ts";

const soonMs = 7 * 86_400_000;

export async function checkKeys({ policyKeys, redis }: Config): Promise<CheckFinding[]> {
  const check = checkOf("policy-keys");
  if (policyKeys === undefined) {
    if (redis === undefined) return [];
    const message = "OUTRIGGER_POLICY_KEYS is not set: whoever may write to Redis makes policy";
    return [check.warn(message, "outrigger policy keygen makes a key to sign policies with")];
  }
  try {
    const { keys } = await (await createTrust(policyKeys))([]);
    return [check.ok(`${keys.length} public ${keys.length === 1 ? "key" : "keys"}`)];
  } catch (error) {
    return [check.fail((error as Error).message, "correct OUTRIGGER_POLICY_KEYS")];
  }
}

/** @param document the key set document in Redis, which adds later keys */
export async function checkKeySet(policyKeys: PublicKeySet, document: Uint8Array): Promise<CheckFinding[]> {
  const check = checkOf("policy-keys");
  const { keys, problems } = await (await createTrust(policyKeys))([document]);
  const [first] = problems;
  if (first === undefined) return [check.ok(`${keys.length} with those that came later`)];
  return [
    check.warn(
      `those that came later do not count: ${problemText(first)}`,
      "sign them anew, or delete that key",
    ),
  ];
}

export function checkSignatures(signatures: readonly SignedDocument[], nowMs: number): CheckFinding[] {
  const check = checkOf("signature");
  return signatures.map(({ name, claims: { exp } }) => {
    if (exp === undefined) return check.ok(`of ${name} counts without end`);
    const until = new Date(exp * 1_000).toISOString();
    const advice = "sign it anew: outrigger policy sign";
    if (exp * 1_000 <= nowMs)
      return check.fail(`of ${name} counted until ${until}: sidecars that start now refuse it`, advice);
    if (exp * 1_000 - nowMs < soonMs) return check.warn(`of ${name} counts until ${until}`, advice);
    return check.ok(`of ${name} counts until ${until}`);
  });
}
