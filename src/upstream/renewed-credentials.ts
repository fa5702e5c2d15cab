// Holds the TLS context for upstreams (own certificate and trusted authorities). It is renewed in place: later
// connections use the new one.
import { createSecureContext, type SecureContext } from "node:tls";

export interface Credentials {
  /** The context in force. */
  readonly secureContext: SecureContext;
}

export class RenewedCredentials implements Credentials {
  #secureContext: SecureContext | undefined;

  /** @param secureContext undefined = the system's authorities, which are read when the first connection needs them */
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
