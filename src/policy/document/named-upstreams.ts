// Checks routes that name one of the document's upstreams: the upstream has to exist, and its endpoints have to be
// allowed.
import type { z } from "zod";
import type { UpstreamAddress } from "../../config/formats.ts";
import { isObject } from "./plain-object.ts";
import { unknownName } from "./problems.ts";
import { upstreamFlaw } from "./upstream-flaw.ts";
import { isUpstreamName } from "./upstreams-field.ts";

export interface NamedUpstreamsOptions {
  /** Default: every address is allowed. */
  readonly isUpstreamAllowed?: ((target: UpstreamAddress) => boolean) | undefined;
  /**
   * Only the upstreams of this service's routes are checked against what is allowed. Default: those of every service.
   */
  readonly service?: string | undefined;
}

/** @returns the check, which runs across the document even if other parts of it are wrong */
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
        // The schema has already reported an address that is not well-formed.
        const message = isWellFormed(url) ? upstreamFlaw(url, isUpstreamAllowed) : undefined;
        if (message === undefined) continue;
        context.addIssue({ code: "custom", path: ["upstreams", name, "endpoints", at], message });
      }
    }
  };
}

const isWellFormed = (url: string): boolean => url !== "" && upstreamFlaw(url, () => true) === undefined;

/** @returns the address of each endpoint; "" for one that has none */
function endpointsOf(upstream: unknown): string[] {
  const endpoints = isObject(upstream) ? upstream["endpoints"] : undefined;
  return (Array.isArray(endpoints) ? endpoints : []).map((each: unknown) => {
    const url = isObject(each) ? each["url"] : each;
    return typeof url === "string" ? url : "";
  });
}
