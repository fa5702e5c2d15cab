// http-proxy-3 carries every exchange and every upgrade, with passes of ours in place of its own: those rewrite the
// path after the policy has matched, let a chunked DELETE smuggle, leave clients hanging, and forward hop-by-hop fields.
import httpProxy from "http-proxy-3";
import type { CarriedExchange } from "./context.ts";
import { openTunnel } from "./upgrade.ts";

/** What we hand through http-proxy-3's options; `target` only satisfies its own check, it is never parsed. */
interface PassOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly exchange: CarriedExchange;
}

interface Passes {
  webPasses: unknown[];
  wsPasses: unknown[];
}

// What came behind the request head is with the exchange's `UpgradeSide`.
const noHead = Buffer.alloc(0);

function forwardExchange(_req: unknown, _res: unknown, options: PassOptions): true {
  options.exchange.openUpstream();
  return true;
}

function forwardUpgrade(_req: unknown, _socket: unknown, options: PassOptions): true {
  openTunnel(options.exchange);
  return true;
}

/** @returns hands an exchange to the proxy: a plain request to the upstream transport, an upgrade to a tunnel */
export function createForward(): (exchange: CarriedExchange) => void {
  const proxy = httpProxy.createProxyServer({});
  // Public at run time and in its documentation, private in its types (2.0.1).
  const passes = proxy as unknown as Passes;
  passes.webPasses = [forwardExchange];
  passes.wsPasses = [forwardUpgrade];
  // Its listener on the client's socket reports here; the exchange has its own.
  proxy.on("error", () => {});
  return (exchange) => {
    const options: PassOptions = { target: exchange.route.target, exchange };
    const { message, res, upgrade } = exchange.inbound;
    if (upgrade === undefined) proxy.web(message, res, options);
    else proxy.ws(message, upgrade.socket, noHead, options);
  };
}
