// Holds the upstreams of one policy, each only once, however many routes use it.
import { isLoopbackHost, parseUpstream, type UpstreamAddress } from "../config/formats.ts";
import { isUpstreamName, type UpstreamsField } from "../policy/document/upstreams-field.ts";
import type { BalancedUpstreams } from "../upstream/balance/balanced-upstreams.ts";
import type { WaitingCalls } from "../upstream/retry/waiting-calls.ts";
import type { Credentials } from "../upstream/renewed-credentials.ts";
import type { ProxyProtocol } from "../upstream/proxy-head.ts";
import type { UpstreamProtocol, UpstreamTarget, UpstreamTransport } from "../upstream/transport.ts";
import type { Upstreams } from "../upstream/upstreams.ts";
import { balancedSpec } from "./balanced-spec.ts";

export interface UpstreamParts {
  readonly upstreams: Pick<Upstreams, "hold" | "get" | "release">;
  /** Upstreams with several endpoints. */
  readonly balanced: Pick<BalancedUpstreams, "release"> & {
    hold(...spec: Parameters<BalancedUpstreams["hold"]>): UpstreamTransport;
  };
  /** For routes without an `upstream`. */
  readonly upstream: UpstreamAddress;
  /** The protocol for routes without an `upstreamProtocol`. Default: HTTP/1.1. */
  readonly protocol?: UpstreamProtocol | undefined;
  /** The PROXY protocol version for connections to all upstreams; absent = none. */
  readonly proxyProtocol?: ProxyProtocol | undefined;
  /** Undefined = the system's authorities check upstreams' certificates, and the sidecar shows no certificate. */
  readonly upstreamTls: UpstreamTrust | undefined;
}

/** The TLS settings for upstreams. */
export interface UpstreamTrust {
  /** Authorities are configured: certificates of services on this machine are checked, too. */
  readonly checked: boolean;
  readonly credentials: Credentials;
  /** The name in the certificate of the sidecar's own service. */
  readonly servername: string | undefined;
}

/** An upstream as the routes of one policy share it. */
export interface HeldUpstream {
  readonly target: UpstreamTarget;
  readonly transport: UpstreamTransport;
  /** The upstream's label in metrics. */
  readonly name: string;
  /** Requests that wait for the upstream; made for the first route that holds requests. */
  waiting?: WaitingCalls;
}

export class HeldUpstreams {
  readonly #parts: UpstreamParts;
  readonly #named: UpstreamsField;
  readonly #byText = new Map<string, HeldUpstream>();
  readonly #releases: (() => void)[] = [];

  /** @param named the policy's named upstreams */
  constructor(parts: UpstreamParts, named: UpstreamsField = {}) {
    this.#parts = parts;
    this.#named = named;
  }

  /** @param text a route's `upstream`, already validated */
  of(text: string | undefined, protocol = this.#parts.protocol ?? "http1"): HeldUpstream {
    const key = `${protocol} ${text ?? ""}`;
    let held = this.#byText.get(key);
    if (held === undefined) {
      held =
        text !== undefined && isUpstreamName(text)
          ? this.#balanced(text, protocol)
          : this.#one(text, protocol);
      this.#byText.set(key, held);
    }
    return held;
  }

  release(): void {
    for (const release of this.#releases.splice(0)) release();
  }

  #one(text: string | undefined, protocol: UpstreamProtocol): HeldUpstream {
    const { upstream, upstreams, upstreamTls } = this.#parts;
    const target =
      text === undefined
        ? this.#spoken(targetOf(upstream, upstreamTls), protocol)
        : this.#targetOf(parseUpstream(text), protocol);
    upstreams.hold(target);
    this.#releases.push(() => upstreams.release(target));
    return { target, transport: upstreams.get(target), name: `${target.name}${target.basePath ?? ""}` };
  }

  #balanced(name: string, protocol: UpstreamProtocol): HeldUpstream {
    const field = Object.hasOwn(this.#named, name) ? this.#named[name] : undefined;
    if (field === undefined) throw new Error(`upstream ${name} is not in the policy`);
    const { balanced } = this.#parts;
    const spec = balancedSpec(name, field, (address) => this.#targetOf(address, protocol));
    const transport = balanced.hold(spec);
    this.#releases.push(() => balanced.release(spec));
    // None of the endpoints is the target; its name serves requests without a Host.
    const target = { tls: false, host: name, port: 0, socketPath: undefined, name };
    return { target, transport, name };
  }

  #targetOf(address: UpstreamAddress, protocol: UpstreamProtocol): UpstreamTarget {
    const { upstreamTls } = this.#parts;
    // The configured server name is only for the sidecar's own service.
    return this.#spoken(
      targetOf(address, upstreamTls && { ...upstreamTls, servername: undefined }),
      protocol,
    );
  }

  #spoken(target: UpstreamTarget, protocol: UpstreamProtocol): UpstreamTarget {
    return { ...spokenTo(target, protocol), proxyProtocol: this.#parts.proxyProtocol };
  }
}

/** HTTP/2 is `h2` over TLS and `h2c` in clear, whichever of the two the policy says. */
function spokenTo(target: UpstreamTarget, protocol: UpstreamProtocol): UpstreamTarget {
  if (protocol !== "h2" && protocol !== "h2c") return { ...target, protocol };
  return { ...target, protocol: target.tls ? "h2" : "h2c" };
}

/** An upstream's address with the checks of its certificate. */
export function targetOf(address: UpstreamAddress, trust: UpstreamTrust | undefined): UpstreamTarget {
  if (!address.tls) return address;
  // A service on this machine commonly has a self-signed certificate, and a process that can listen in its place owns
  // the pod anyway. If authorities are configured, its certificate is checked by them.
  const { checked = false, credentials, servername } = trust ?? {};
  const rejectUnauthorized = checked || servername !== undefined || !isLoopbackHost(address.host);
  return { ...address, tlsOptions: { rejectUnauthorized, credentials, servername } };
}
