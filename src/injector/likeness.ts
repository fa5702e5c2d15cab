// Compares a part of a pod with what the injector made, ignoring what the API server and its plugins add.

/** Defaults that the API server fills in (core/v1). */
const serverDefaults: Readonly<Record<string, unknown>> = {
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
  scheme: "HTTP",
  successThreshold: 1,
  apiVersion: "v1",
  defaultMode: 0o644,
};
/** Where the API server mounts the pod's service account into every container. */
const accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

/** @returns whether `found` equals `made`, apart from additions of the API server; lists must have the same order */
export function isAs(found: unknown, made: unknown): boolean {
  if (Array.isArray(made)) {
    if (!Array.isArray(found)) return false;
    const own = (found as unknown[]).filter((each) => !isAccountMount(each));
    return own.length === made.length && made.every((each, at) => isAs(own[at], each));
  }
  if (typeof made !== "object" || made === null) return found === made;
  if (typeof found !== "object" || found === null) return false;
  const [given, wanted] = [found as Record<string, unknown>, made as Record<string, unknown>];
  return (
    Object.entries(wanted).every(([key, value]) => isAs(given[key], value)) &&
    Object.entries(given).every(([key, value]) => Object.hasOwn(wanted, key) || serverDefaults[key] === value)
  );
}

function isAccountMount(member: unknown): boolean {
  return (
    typeof member === "object" &&
    member !== null &&
    (member as { mountPath?: unknown }).mountPath === accountFolder
  );
}
