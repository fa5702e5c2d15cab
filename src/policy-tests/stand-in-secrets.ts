// Provides secrets for tests of a policy that will run elsewhere: a secret that this machine does not have is replaced
// by a random one of the right form. A test sends nothing anywhere.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import type { PluginDefinition, Secrets } from "../plugin-api/contract.ts";

function privateKey(): string {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return key.export({ type: "pkcs8", format: "pem" });
}

/** Long enough for every algorithm. */
const longText = (): string => randomBytes(96).toString("base64url");
const forms: readonly (() => string)[] = [() => randomBytes(32).toString("base64url"), longText, privateKey];

/** @param given the secrets that this machine has, by name */
export function standInSecrets(
  given: Readonly<Record<string, string>>,
  registry: readonly PluginDefinition[],
): Secrets {
  const brought = Object.assign({}, ...registry.map(({ secrets }) => secrets ?? {})) as NonNullable<
    PluginDefinition["secrets"]
  >;
  const made = new Map<string, string>();
  const get = (name: string): string => {
    const known = given[name] ?? made.get(name);
    if (known !== undefined) return known;
    const secret = Object.hasOwn(brought, name) ? brought[name] : undefined;
    const texts = secret === undefined ? [] : forms.map((form) => form());
    const text = texts.find((each) => secret?.check(each) === undefined) ?? longText();
    made.set(name, text);
    return text;
  };
  return { get, sentTo: get };
}
