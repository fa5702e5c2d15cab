// http-proxy-3 carries every exchange and every upgrade, with passes of ours in place of its own: those rewrite the
// path after the policy has matched, let a chunked DELETE smuggle, leave clients hanging, and forward hop-by-hop fields.
import httpProxy from "http-proxy-3";
import type { CarriedExchange } from "../../exchange/context.ts";
import { Http1Stream } from "./stream.ts";

/** What we hand through http-proxy-3's options; `target` only satisfies its own check, it is never parsed. */
interface PassOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly exchange: CarriedExchange;
}

interface Passes {
  webPasses: unknown[];
  wsPasses: unknown[];
}

// What came behind the request head is with the exchange's stream.
const noHead = Buffer.alloc(0);

function forwardExchange(_req: unknown, _res: unknown, options: PassOptions): true {
  options.exchange.openUpstream();
  return true;
}

/** @returns hands an exchange to the proxy, and by way of it to its route's upstream */
export function createForward(): (exchange: CarriedExchange) => void {
  const proxy = httpProxy.createProxyServer({});
  // Public at run time and in its documentation, private in its types (2.0.1).
  const passes = proxy as unknown as Passes;
  passes.webPasses = [forwardExchange];
  passes.wsPasses = [forwardExchange];
  // Its listener on the client's socket reports here; the exchange has its own.
  proxy.on("error", () => {});
  return (exchange) => {
    const { stream } = exchange.inbound;
    if (!(stream instanceof Http1Stream)) {
      exchange.openUpstream();
      return;
    }
    const options: PassOptions = { target: exchange.route.target, exchange };
    if (stream.upgrades) proxy.ws(stream.message, stream.message.socket, noHead, options);
    else proxy.web(stream.message, stream.response, options);
  };
}
