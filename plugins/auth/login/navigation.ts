// Tells people who load a page from scripts, programs and browsers that load ahead.
import type { Exchange, Fields } from "../../../src/plugin-api/contract.ts";

/** Whether a browser loads a page. Only then can a user log in. */
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

/** Whether a browser loads the page ahead, in case the user wants it later. */
export function isPrefetch(fields: Fields): boolean {
  return purposes.some((name) => /prefetch|prerender|preview/i.test(fields.get(name) ?? ""));
}
