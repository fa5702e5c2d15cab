// Checks extensions against one another and against the built-in plugins, by their manifests.
import type { Extension } from "../../extensions/entry.ts";
import { type Path, quoted } from "../document/problems.ts";
import type { PolicyPlugins } from "../document/schema.ts";

export interface Flaw {
  readonly path: Path;
  readonly message: string;
}

export function flawsTogether(extensions: readonly Extension[], builtIn: PolicyPlugins): Flaw[] {
  return [
    ...extensions.flatMap(opened),
    ...samePriorities(extensions, builtIn),
    ...partialGuards(extensions),
  ];
}

function opened({ name, entry, package: { manifest } }: Extension): Flaw[] {
  if (!manifest.security || entry.failMode !== "open") return [];
  const message = "a plugin that decides who gets in always fails closed";
  return [{ path: ["extensions", name, "failMode"], message }];
}

/**
 * Two plugins must not share a priority: their order would be undefined. An extension and its replacement may; only one
 * runs.
 */
function samePriorities(extensions: readonly Extension[], builtIn: PolicyPlugins): Flaw[] {
  const taken = new Map<number | undefined, string>();
  for (const [name, { priority }] of Object.entries(builtIn)) taken.set(priority, name);
  const flaws: Flaw[] = [];
  for (const { name, entry, package: own } of extensions) {
    const priority = entry.priority ?? own.manifest.priority;
    const other = taken.get(priority);
    const pair =
      other === entry.replaces || extensions.find((each) => each.name === other)?.entry.replaces === name;
    if (other === undefined) taken.set(priority, name);
    else if (!pair) {
      const message = `${priority} is the priority of ${quoted(other)} too: give one of them another, by "priority"`;
      flaws.push({ path: ["extensions", name, "priority"], message });
    }
  }
  return flaws;
}

/** If an extension that decides who gets in is for some callers only, another that does must take the others. */
function partialGuards(extensions: readonly Extension[]): Flaw[] {
  const byName = new Map(extensions.map((extension) => [extension.name, extension]));
  const flaws: Flaw[] = [];
  const note = (name: string, field: string): void => {
    const message = "a plugin that decides who gets in does so for all callers, or beside another that does";
    flaws.push({ path: ["extensions", name, field], message });
  };
  const replaced = new Set(extensions.map(({ entry }) => entry.replaces));
  for (const extension of extensions) {
    const { name, entry } = extension;
    const other = entry.replaces === undefined ? undefined : byName.get(entry.replaces);
    if (other === undefined) {
      if (guards(extension) && !takesAll(extension) && !replaced.has(name)) note(name, "percent");
    } else if (guards(extension) || guards(other)) {
      const members = [extension, other];
      if (!members.every(guards)) note(name, "replaces");
      else if (!members.some(takesAll)) note(name, "percent");
    }
  }
  return flaws;
}

const guards = ({ package: { manifest } }: Extension): boolean => manifest.security;
const takesAll = ({ entry }: Extension): boolean => (entry.percent ?? 100) === 100;
