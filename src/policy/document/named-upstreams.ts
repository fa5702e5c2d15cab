// Routes that name one of the document's upstreams: it has to be there, and its endpoints have to be allowed.
import type { z } from "zod";
import type { UpstreamAddress } from "../../config/formats.ts";
import { isObject } from "./plain-object.ts";
import { unknownName } from "./problems.ts";
import { upstreamFlaw } from "./upstream-flaw.ts";
import { isUpstreamName } from "./upstreams-field.ts";

export interface NamedUpstreamsOptions {
  /** Default: any is. */
  readonly isUpstreamAllowed?: ((target: UpstreamAddress) => boolean) | undefined;
  /** Whose routes' upstreams are held against what is allowed. Default: every one's. */
  readonly service?: string | undefined;
}

/** The check across a document, whatever else is wrong with it. */
export function namedUpstreamsCheck({ isUpstreamAllowed = () => true, service }: NamedUpstreamsOptions) {
  return (document: unknown, context: z.core.$RefinementCtx): void => {
    if (!isObject(document)) return;
    const upstreams = isObject(document["upstreams"]) ? document["upstreams"] : {};
    const routes: readonly unknown[] = Array.isArray(document["routes"]) ? document["routes"] : [];
    const used = new Set<string>();
    for (const [index, route] of routes.entries()) {
      const { upstream, services } = isObject(route) ? route : {};
      if (typeof upstream !== "string" || !isUpstreamName(upstream)) continue;
      if (!Object.hasOwn(upstreams, upstream)) {
        const message = unknownName("unknown upstream", upstream, Object.keys(upstreams));
        context.addIssue({ code: "custom", path: ["routes", index, "upstream"], message });
      } else if (service === undefined || !Array.isArray(services) || services.includes(service))
        used.add(upstream);
    }
    for (const name of used) {
      for (const [at, url] of endpointsOf(upstreams[name]).entries()) {
        // What is not well-formed is told of already.
        const message = isWellFormed(url) ? upstreamFlaw(url, isUpstreamAllowed) : undefined;
        if (message === undefined) continue;
        context.addIssue({ code: "custom", path: ["upstreams", name, "endpoints", at], message });
      }
    }
  };
}

const isWellFormed = (url: string): boolean => url !== "" && upstreamFlaw(url, () => true) === undefined;

/** "" for what is no address. */
function endpointsOf(upstream: unknown): string[] {
  const endpoints = isObject(upstream) ? upstream["endpoints"] : undefined;
  return (Array.isArray(endpoints) ? endpoints : []).map((each: unknown) => {
    const url = isObject(each) ? each["url"] : each;
    return typeof url === "string" ? url : "";
  });
}
