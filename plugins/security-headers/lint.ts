// Rules of `policy lint` for security-headers. They find values that are valid and protect less than they seem to.
import type { LintFinding, PluginLint } from "../../src/plugin-api/contract.ts";
import { valueOf } from "./fields.ts";
import type { SecurityHeadersOptions } from "./options.ts";

const scriptSources = (csp: string): string | undefined =>
  (/(?:^|;) *script-src ([^;]*)/i.exec(csp) ?? /(?:^|;) *default-src ([^;]*)/i.exec(csp))?.[1];

export const lint: PluginLint<SecurityHeadersOptions> = {
  rules: {
    "inline-scripts": {
      about: "A Content-Security-Policy that stops no script which an attacker brings into the page",
      *check(options): Generator<LintFinding> {
        const csp = valueOf(options, "contentSecurityPolicy");
        if (csp === undefined) return;
        const sources = scriptSources(csp);
        const path = ["contentSecurityPolicy"];
        if (sources === undefined) {
          const message = "has neither script-src nor default-src: scripts may come from anywhere";
          yield { path, message, advice: "say where scripts come from" };
          // CSP 3 section 6.7.3.2: beside a nonce or a hash, only old browsers honour 'unsafe-inline'.
        } else if (/'unsafe-inline'/i.test(sources) && !/'(?:nonce|sha\d+)-/i.test(sources)) {
          const message = "takes 'unsafe-inline' scripts, which is what it should hold off";
          yield { path, message, advice: "use 'nonce-$nonce', with which the service marks its own scripts" };
        }
      },
    },
    "short-transport-security": {
      about: "A Strict-Transport-Security that is over before most users come again",
      *check(options): Generator<LintFinding> {
        const seconds = Number(/^max-age=(\d+)/.exec(valueOf(options, "strictTransportSecurity") ?? "")?.[1]);
        // Zero is deliberate: it makes browsers forget the host.
        if (!(seconds > 0 && seconds < 2_592_000)) return;
        yield {
          path: ["strictTransportSecurity"],
          message: "counts for less than thirty days",
          advice: "raise max-age to a year once https works everywhere",
        };
      },
    },
  },
};
