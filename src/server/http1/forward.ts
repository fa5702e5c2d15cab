// The seam at which a user's own http-proxy middleware plugs in: http-proxy-3 (node-http-proxy's interface) and nothing
// else of it. Every exchange and every upgrade goes through its passes. The last of them, `stream`, is ours and hands
// the exchange to the upstream; its own passes rewrite the path after the policy has matched, let a chunked DELETE
// smuggle, leave clients hanging, and forward hop-by-hop fields.
import httpProxy, { type ProxyServer } from "http-proxy-3";
import type { CarriedExchange } from "../../exchange/context.ts";
import { Http1Stream } from "./stream.ts";

/**
 * Adds passes, by `proxy.before("web", "stream", pass)` or `"ws"`: they are called once the policy has let a request
 * in. One that returns true answers by itself: its answer passes no plugin and no time limit of ours, and is logged.
 */
export type HttpProxyMiddleware = (proxy: ProxyServer) => void;

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

function stream(_req: unknown, _res: unknown, options: PassOptions): true {
  options.exchange.openUpstream();
  return true;
}

/** @returns hands an exchange to the proxy, and by way of it to its route's upstream */
export function createForward(middleware?: HttpProxyMiddleware): (exchange: CarriedExchange) => void {
  const proxy = httpProxy.createProxyServer({});
  // Public at run time and in its documentation, private in its types (2.0.1).
  const passes = proxy as unknown as Passes;
  passes.webPasses = [stream];
  passes.wsPasses = [stream];
  // Its listener on the client's socket reports here; the exchange has its own.
  proxy.on("error", () => {});
  middleware?.(proxy);
  return (exchange) => {
    const { stream: client } = exchange.inbound;
    if (!(client instanceof Http1Stream)) {
      exchange.openUpstream();
      return;
    }
    const options: PassOptions = { target: exchange.route.target, exchange };
    if (client.upgrades) proxy.ws(client.message, client.message.socket, noHead, options);
    else proxy.web(client.message, client.response, options);
  };
}
