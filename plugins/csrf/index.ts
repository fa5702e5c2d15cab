// The csrf plugin: refuses requests that change something and come from other sites' pages (cross-site request
// forgery). It needs no tokens: browsers say which site's page sends a request.
import {
  compilePaths,
  definePlugin,
  GatewayError,
  type Hooks,
  type Verdict,
} from "../../src/plugin-api/contract.ts";
import { foreignTotal } from "./metrics.ts";
import { csrfOptions } from "./options.ts";
import { foreignBecause, isSafe } from "./origin-check.ts";

const refusal: Verdict = {
  action: "reject",
  error: new GatewayError("forbidden", "Pages of other sites may not do this."),
};

export const csrf = definePlugin({
  name: "csrf",
  version: "1.0.0",
  apiVersion: 1,
  // After cors and auth, whose refusals say more; before plugins that do costly work.
  priority: 11,
  security: true,
  failMode: "closed",
  options: csrfOptions,

  setup({ options, services, route }): Hooks {
    const allowed = new Set(options.allowedOrigins);
    const excluded = compilePaths(options.exclude, route.caseInsensitive);
    const excludes = options.exclude.length > 0;
    const counter = foreignTotal(services.metrics)(
      route.pattern,
      options.dryRun ? "would_refuse" : "refused",
    );
    return {
      headOnlyFields: ["origin", "sec-fetch-site"],
      onRequest(exchange) {
        const { request } = exchange;
        if (isSafe(request)) return undefined;
        const because = foreignBecause(request, allowed);
        if (because === undefined || (excludes && excluded.spells(request.path))) return undefined;
        counter.inc();
        if (options.dryRun) return undefined;
        exchange.refusedBecause = because;
        return refusal;
      },
    };
  },
});
