// Converts another gateway's configuration to a policy. It recognises the gateway by the text.
import { parseDocument } from "yaml";
import { type Imported, ImportError, membersOf } from "./imported.ts";
import { fromKong } from "./kong.ts";
import { fromOauth2Proxy } from "./oauth2-proxy.ts";

/** @throws ImportError */
export function importText(text: string): Imported {
  if (/^\s*(client_id|provider|cookie_secret|upstreams)\s*=/m.test(text)) return fromOauth2Proxy(text);
  const document = parseDocument(text, { logLevel: "silent" });
  const [problem] = document.errors;
  if (problem !== undefined)
    throw new ImportError(
      `is neither YAML nor a configuration of oauth2-proxy: ${problem.message.split("\n")[0] ?? ""}`,
    );
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if ("static_resources" in membersOf(value))
    throw new ImportError("is Envoy's, which is not converted: see deploy/guides/migrate.md");
  return fromKong(value);
}
