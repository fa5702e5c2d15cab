// Provides TLS credentials for egress: the sidecar shows its own SVID, and trusts for each peer the bundle of the
// peer's trust domain.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { parseSpiffeId } from "../language/spiffe-id.ts";
import { readBundle } from "../tls/federated-bundles.ts";
import { readSvidChain } from "../tls/svid.ts";
import type { Credentials } from "../upstream/renewed-credentials.ts";
import type { ProcessContext } from "./process-context.ts";
import { type RenewedTls, renewTls } from "./renewed-tls.ts";

export class EgressTls {
  readonly #telemetry: ProcessContext["telemetry"];
  readonly #config: Config;
  /** Trust domain of the sidecar's own SVID. It stays the same even if the file later holds another. */
  readonly #own: string | undefined;
  readonly #byDomain = new Map<string | undefined, RenewedTls>();

  /** @throws Error when a file that the settings name cannot be read */
  constructor({ telemetry }: ProcessContext, config: Config) {
    this.#telemetry = telemetry;
    this.#config = config;
    this.#own = domainOf(readFileSync(config.spiffeCert ?? "", "utf8"));
  }

  /**
   * @param peer the SPIFFE id that the peer must prove
   * @throws Error when a file that the settings name cannot be read
   */
  towards(peer: string): Credentials {
    const domain = parseSpiffeId(peer)?.trustDomain;
    const known = this.#byDomain.get(domain) ?? this.#renew(domain);
    this.#byDomain.set(domain, known);
    return known.credentials;
  }

  close(): void {
    for (const each of this.#byDomain.values()) each.close();
  }

  #renew(domain: string | undefined): RenewedTls {
    const { spiffeCert: cert, spiffeKey: key, spiffeBundle, spiffeFederatedBundles: folder } = this.#config;
    const others = (): readonly string[] => (folder === undefined ? [] : bundleIn(folder, domain));
    const ca = domain === this.#own ? spiffeBundle : others;
    return renewTls("egress", { ca, cert, key }, this.#telemetry, (chain) => {
      if (this.#own === undefined || domainOf(chain) !== this.#own)
        throw new Error(`${cert} is no SVID of the trust domain ${this.#own}`);
    });
  }
}

/**
 * The CA certificates of that domain; empty when there is no bundle, or an invalid one. The listener's log says why.
 */
function bundleIn(folder: string, domain = ""): readonly string[] {
  try {
    return [readBundle(join(folder, `${domain}.pem`))];
  } catch {
    return [];
  }
}

function domainOf(chain: string): string | undefined {
  return readSvidChain(chain)?.trustDomain;
}
