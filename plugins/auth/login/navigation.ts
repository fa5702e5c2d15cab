// Who is asking: a person who loads a page, or a script, a program, a browser that loads ahead?
import type { Exchange, Fields } from "../../../src/plugin-api/contract.ts";

/** Whether a browser loads a page: only then can somebody log in. */
export function isNavigation({ request }: Exchange): boolean {
  const { fields, method, upgrade } = request;
  if ((method !== "GET" && method !== "HEAD") || upgrade !== undefined) return false;
  const mode = fields.get("sec-fetch-mode");
  if (mode !== undefined) return mode === "navigate";
  return (
    fields.has("accept") &&
    fields.get("accept")?.includes("text/html") === true &&
    !fields.has("x-requested-with")
  );
}

const purposes = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/** Whether a browser loads it in case somebody wants it later. */
export function isPrefetch(fields: Fields): boolean {
  return purposes.some((name) => /prefetch|prerender|preview/i.test(fields.get(name) ?? ""));
}
