// Rules of `policy lint` for the options of cors. They find origins that grant more than they seem to.
import type { LintFinding, PluginLint } from "../../src/plugin-api/contract.ts";
import type { CorsOptions } from "./options.ts";

/** Domains under which anybody can get a name: well-known entries of the public suffix list. */
const sharedDomains = new Set(
  (
    "com net org io dev app co.uk com.au co.jp com.br github.io gitlab.io pages.dev workers.dev vercel.app netlify.app " +
    "herokuapp.com web.app firebaseapp.com appspot.com run.app azurewebsites.net azurestaticapps.net cloudfront.net " +
    "amazonaws.com amplifyapp.com elasticbeanstalk.com onrender.com fly.dev surge.sh glitch.me repl.co ngrok.io ngrok-free.app"
  ).split(" "),
);

const loopback = /^[a-z][a-z0-9+.-]*:\/\/(?:\*\.)?(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::|$)/;

/** @returns the domain of `https://*.domain:port` */
const wildcardDomain = (origin: string): string | undefined => /:\/\/\*\.([^:]+)/.exec(origin)?.[1];

/**
 * Builds a lint rule that looks at each origin.
 * @param flaw returns what is wrong with an origin; undefined = nothing
 */
function aboutOrigins(
  about: string,
  advice: string,
  flaw: (origin: string, options: CorsOptions) => string | undefined,
): NonNullable<PluginLint<CorsOptions>["rules"]>[string] {
  return {
    about,
    *check(options): Generator<LintFinding> {
      for (const [index, origin] of options.origins.entries()) {
        const message = flaw(origin, options);
        if (message !== undefined) yield { path: ["origins", index], message, advice };
      }
    },
  };
}

export const lint: PluginLint<CorsOptions> = {
  rules: {
    "any-origin": aboutOrigins(
      "`*` beside other origins, or with `privateNetwork`",
      "take * out, or the rest with it",
      (origin, { origins, privateNetwork }) => {
        if (origin !== "*") return undefined;
        if (privateNetwork)
          return "lets every page of the internet reach this service on its private network";
        return origins.length > 1 ? "lets every origin read: those beside it mean nothing" : undefined;
      },
    ),
    "null-origin": aboutOrigins(
      "The origin `null`, which every page can make itself",
      "give the page an origin of its own and name that",
      (origin) => (origin === "null" ? "is the origin of any sandboxed frame, on whatever site" : undefined),
    ),
    "http-origin": aboutOrigins(
      "An origin without TLS, as which whoever is on the way can speak",
      "name the https origin",
      (origin) =>
        origin.startsWith("http://") && !loopback.test(origin)
          ? "without TLS, whoever is between a user and that site can speak as it"
          : undefined,
    ),
    "loopback-origin": aboutOrigins(
      "Loopback with `credentials`: whatever runs on a user's machine acts as that user",
      "leave it to the policy of the machines where it is developed",
      (origin, { credentials }) =>
        credentials && loopback.test(origin)
          ? "with credentials, any program on a user's machine can act as that user"
          : undefined,
    ),
    "shared-domain": aboutOrigins(
      "`*.` of a domain under which anybody gets a name",
      "name the hosts that are yours",
      (origin) => {
        const domain = wildcardDomain(origin);
        return domain !== undefined && sharedDomains.has(domain)
          ? `anybody can have a name under ${domain}`
          : undefined;
      },
    ),
    subdomains: aboutOrigins(
      "`*.` with `credentials`: any host below, at any depth, acts as the user",
      "name the hosts, or allow it and say who may have names there",
      (origin, { credentials }) => {
        const domain = wildcardDomain(origin);
        return credentials && domain !== undefined && !sharedDomains.has(domain)
          ? `with credentials, whoever has any name below ${domain}, a forgotten one too, can act as the user`
          : undefined;
      },
    ),
  },
};
