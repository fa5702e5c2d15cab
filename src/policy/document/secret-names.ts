// Collects the names of fields and query parameters that carry callers' credentials under any option of a policy's
// documents, in force or not. No log shows their values, whatever its own options say.
import type { PolicyDocument, PolicyPlugins } from "./schema.ts";

export function secretNames(
  documents: readonly (PolicyDocument | undefined)[],
  plugins: PolicyPlugins,
): ReadonlySet<string> {
  const configs = documents.flatMap((document) => [
    document?.pluginConfig,
    ...(document?.routes ?? []).map(({ pluginConfig }) => pluginConfig),
  ]);
  const names = configs.flatMap((config = {}) =>
    Object.entries(config).flatMap(([plugin, options]) => plugins[plugin]?.secretNames?.(options) ?? []),
  );
  return new Set(names);
}
