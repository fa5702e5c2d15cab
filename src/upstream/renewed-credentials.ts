// What TLS to upstreams shows and believes, renewed in place: connections from then on are made with it.
import type { SecureContext } from "node:tls";

export interface Credentials {
  /** The one in force. */
  readonly secureContext: SecureContext;
}

export class RenewedCredentials implements Credentials {
  #secureContext: SecureContext;

  constructor(secureContext: SecureContext) {
    this.#secureContext = secureContext;
  }

  get secureContext(): SecureContext {
    return this.#secureContext;
  }

  use(secureContext: SecureContext): void {
    this.#secureContext = secureContext;
  }
}
