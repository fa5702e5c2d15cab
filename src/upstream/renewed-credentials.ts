// What TLS to upstreams shows and believes, renewed in place: connections from then on are made with it.
import { createSecureContext, type SecureContext } from "node:tls";

export interface Credentials {
  /** The one in force. */
  readonly secureContext: SecureContext;
}

export class RenewedCredentials implements Credentials {
  #secureContext: SecureContext | undefined;

  /** @param secureContext undefined = by the system's authorities, which are read when the first connection needs them */
  constructor(secureContext: SecureContext | undefined) {
    this.#secureContext = secureContext;
  }

  get secureContext(): SecureContext {
    return (this.#secureContext ??= createSecureContext());
  }

  use(secureContext: SecureContext): void {
    this.#secureContext = secureContext;
  }
}
