// Builds changes of a pod in the form that the API server takes: JSON Patch (RFC 6902).
import type { Pod } from "./pod.ts";

export interface Operation {
  readonly op: "add" | "remove" | "replace";
  readonly path: string;
  readonly value?: unknown;
}

/** Adds annotations, or replaces existing ones. */
export function annotate(pod: Pod, added: Readonly<Record<string, string>>): Operation[] {
  if (pod.metadata.annotations === undefined || pod.metadata.annotations === null)
    return [{ op: "add", path: "/metadata/annotations", value: added }];
  return Object.entries(added).map(([name, value]) => ({
    op: "add",
    path: `/metadata/annotations/${pointer(name)}`,
    value,
  }));
}

/** @param name of an annotation that the pod has */
export function removeAnnotation(name: string): Operation {
  return { op: "remove", path: `/metadata/annotations/${pointer(name)}` };
}

/** Escapes a name (RFC 6901 section 3). */
function pointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
