// Predicts what a policy, which may not be in force anywhere yet, would do with a request: `outrigger explain
// --request`.
import type { Config } from "../config/config.ts";
import { explainRequest, type ForeseenRequest, type RefusedHead } from "../policy-tests/explain.ts";
import { standInSecrets } from "../policy-tests/stand-in-secrets.ts";
import type { FindPackages } from "../policy/extensions/resolve.ts";
import { type PolicyTest, tests } from "../policy/document/tests-field.ts";
import type { RawPolicy } from "../policy/read.ts";
import { systemClock } from "../runtime/clock.ts";
import { benchOptions } from "./bench-options.ts";
import { readFor } from "./document-tests.ts";
import { registry } from "./registry.ts";

export type { ForeseenRequest };

/**
 * Checks a request by the rules for a request in a policy's tests.
 * @returns the request, or what is wrong with it
 */
export function readRequest(written: object): PolicyTest["request"] | readonly string[] {
  const { data, error } = tests.safeParse([{ name: "request", request: written, expect: { status: 200 } }]);
  const [test] = data ?? [];
  if (test !== undefined) return test.request;
  return (error?.issues ?? []).map(({ path, message }) => `${path.slice(2).join(".")}: ${message}`);
}

/** Rejects with PolicyRefused when the policy is not valid, and with another Error when a plugin cannot be set up. */
export async function foresee(
  config: Config,
  raw: RawPolicy,
  packages: FindPackages,
  request: PolicyTest["request"],
): Promise<ForeseenRequest | RefusedHead> {
  const policy = await readFor(config.service, config, raw, packages);
  const secrets = standInSecrets(config.secrets, registry);
  return explainRequest(policy, benchOptions(config, registry, systemClock, secrets), request);
}
