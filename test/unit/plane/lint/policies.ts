// Policies as lint tests write them, and what lint finds there.
import { stringify } from "yaml";
import type { Finding } from "../../../../src/plane/lint/finding.ts";
import { lintPolicy } from "../../../../src/plane/lint/lint.ts";
import type { LintPlugins } from "../../../../src/plane/lint/view.ts";
import { createPolicyReader } from "../../../../src/policy/read.ts";
import { pluginsByName } from "../../../../src/app/registry.ts";

export type Parts = Readonly<Record<string, unknown>>;

const bytes = (parts: Parts): Buffer => Buffer.from(stringify({ apiVersion: "outrigger/v1", ...parts }));

/** @param layer over it, for the service `orders`. Rejects with PolicyRefused when the policy is not valid */
export async function lintOf(
  shared: Parts,
  layer?: Parts,
  plugins: LintPlugins & typeof pluginsByName = pluginsByName,
): Promise<readonly Finding[]> {
  const service = layer === undefined ? undefined : "orders";
  const raw = { shared: bytes(shared), layer: layer && bytes(layer), format: "yaml" } as const;
  const read = await createPolicyReader({ plugins, service, upstreamAllow: undefined, keys: undefined });
  await read(raw);
  return (await lintPolicy(raw, { plugins, service, ownBase: "" })).findings;
}

/** `code path` of each finding but those about routes without authentication or limit, which most tests are not about. */
export async function found(shared: Parts, layer?: Parts): Promise<string[]> {
  const findings = await lintOf(shared, layer);
  return findings
    .filter(({ code }) => !["unauthenticated-route", "unlimited-route"].includes(code))
    .map(({ code, path }) => `${code} ${path}`);
}

/** Paths of the findings of one code. */
export async function placesOf(code: string, shared: Parts, layer?: Parts): Promise<string[]> {
  return (await lintOf(shared, layer)).filter((each) => each.code === code).map(({ path }) => path);
}
