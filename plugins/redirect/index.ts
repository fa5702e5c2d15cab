// The redirect plugin: sends clients to another path, host or scheme, by rules in the policy.
import {
  compileMethods,
  definePlugin,
  type ExchangeRequest,
  type Hooks,
  type RespondVerdict,
} from "../../src/plugin-api/contract.ts";
import { redirectOptions, type RedirectRule } from "./options.ts";
import { compileRule } from "./rule.ts";

/** @returns the test for `when`; undefined = every request matches */
function compileWhen({ when }: RedirectRule): ((request: ExchangeRequest) => boolean) | undefined {
  const { methods, scheme, hosts } = when;
  if (methods.length === 0 && scheme === "any" && hosts.length === 0) return undefined;
  const wantedMethods = methods.length === 0 ? undefined : compileMethods(methods);
  const wantedHosts = hosts.length === 0 ? undefined : new Set(hosts);
  return ({ method, host, scheme: came }) =>
    wantedMethods?.has(method) !== false &&
    (scheme === "any" || scheme === came) &&
    (wantedHosts === undefined || wantedHosts.has(host) || wantedHosts.has(host.replace(/:\d+$/, "")));
}

type Redirect = (request: ExchangeRequest) => RespondVerdict | undefined;

function compile(rule: RedirectRule, foldsCase: boolean): Redirect {
  const isMeant = compileWhen(rule);
  const locate = compileRule(rule, foldsCase);
  return function redirectBy(request) {
    if (isMeant?.(request) === false) return undefined;
    const location = locate(request.path, request.query);
    if (location === undefined) return undefined;
    return { action: "respond", status: rule.status, fields: ["Location", location] };
  };
}

export const redirect = definePlugin({
  name: "redirect",
  version: "1.0.0",
  apiVersion: 1,
  // Before every plugin that refuses: a client at the wrong place learns the right one first.
  priority: 6,
  security: false,
  failMode: "closed",
  options: redirectOptions,

  setup({ options, route }): Hooks {
    const redirects = options.rules.map((rule) => compile(rule, route.caseInsensitive));
    if (redirects.length === 0) return {};
    return {
      onRequest({ request }) {
        for (const each of redirects) {
          const verdict = each(request);
          if (verdict !== undefined) return verdict;
        }
        return undefined;
      },
    };
  },
});
