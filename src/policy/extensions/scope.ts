// Removes the extensions that are not for a service: its policy is the shared one without them.
import type { PolicyDocument } from "../document/schema.ts";

/** @param service undefined = keep all extensions */
export function scopeExtensions(shared: PolicyDocument, service: string | undefined): PolicyDocument {
  if (shared.extensions === undefined || service === undefined) return shared;
  const own = Object.entries(shared.extensions).filter(
    ([, { services }]) => services === undefined || services.includes(service),
  );
  const kept = new Set(own.map(([name]) => name));
  const away = new Set(Object.keys(shared.extensions).filter((name) => !kept.has(name)));
  if (away.size === 0) return shared;
  const all = shared.extensions;
  /** Where an extension for some callers is removed, all callers get the one that it replaces, as locked as it was. */
  const staying = (names: readonly string[]): string[] => {
    const left = names.map((name) => (away.has(name) ? (all[name]?.replaces ?? name) : name));
    return [...new Set(left)].filter((name) => !away.has(name));
  };
  const scoped = <Kind extends Part>(part: Kind): Kind => {
    const { plugins } = part;
    if (plugins === undefined) return withoutPlugins(part, away);
    return withoutPlugins({ ...part, plugins: staying(plugins) }, away);
  };
  return {
    ...scoped(shared),
    extensions: Object.fromEntries(own),
    ...(shared.locked && { locked: staying(shared.locked) }),
    ...(shared.routes && { routes: shared.routes.map(scoped) }),
  };
}

/** The top of a document, or a route. */
interface Part {
  readonly plugins?: readonly string[] | undefined;
  readonly pluginConfig?: Readonly<Record<string, unknown>> | undefined;
}

/** @returns the part without these plugins and their options */
export function withoutPlugins<Kind extends Part>(part: Kind, away: ReadonlySet<string>): Kind {
  const { plugins, pluginConfig } = part;
  return {
    ...part,
    ...(plugins && { plugins: plugins.filter((name) => !away.has(name)) }),
    ...(pluginConfig && {
      pluginConfig: Object.fromEntries(Object.entries(pluginConfig).filter(([name]) => !away.has(name))),
    }),
  };
}
