// Whether a part of a pod is what the injector made, after the API server and its own plugins have been at it.

/** What the API server writes where nothing was said (core/v1). */
const serverDefaults: Readonly<Record<string, unknown>> = {
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
  scheme: "HTTP",
  successThreshold: 1,
  apiVersion: "v1",
  defaultMode: 0o644,
};
/** Where the pod's service account is mounted, into every container. */
const accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

/** @returns whether `found` is `made`, with no more than the API server adds; lists hold the same, in the same order */
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
