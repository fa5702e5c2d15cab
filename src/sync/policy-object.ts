// Parses the spec of an OutriggerPolicy: its service, and the policy as an object or as a text, which may be signed.
import { z } from "zod";
import { canonicalJson } from "../policy/document/digest.ts";
import type { Declared } from "./declared.ts";

const spec = z
  .strictObject({
    service: z.string().min(1).max(128).optional(),
    policy: z.record(z.string(), z.unknown()).optional(),
    document: z.string().min(1).optional(),
  })
  .refine(({ policy, document }) => (policy === undefined) !== (document === undefined), {
    message: "has either policy (an object) or document (YAML, JSON or a signed policy as text)",
  });

/** The API server checks the spec by the schema of crd.yaml, but that schema may be of another version. */
export function policyOf(
  object: Readonly<Record<string, unknown>>,
): Pick<Declared, "service" | "bytes" | "format" | "flaw"> {
  const read = spec.safeParse(object["spec"]);
  if (!read.success) {
    const [{ path, message } = { path: [], message: "" }] = read.error.issues;
    const { service } = Object(object["spec"]) as { service?: unknown };
    return {
      service: typeof service === "string" ? service : undefined,
      bytes: Buffer.alloc(0),
      format: "any",
      flaw: `${["spec", ...path.map(String)].join(".")}: ${message}`,
    };
  }
  const { service, policy, document } = read.data;
  if (document !== undefined) return { service, bytes: Buffer.from(document), format: "any" };
  try {
    return { service, bytes: Buffer.from(canonicalJson(policy)), format: "json" };
  } catch {
    return { service, bytes: Buffer.alloc(0), format: "json", flaw: "spec.policy: is nested too deep" };
  }
}
