// Lets a user's own http-proxy middleware plug in, by the interface of http-proxy-3 (that of node-http-proxy). Nothing
// else of http-proxy-3 is used. Every exchange and every upgrade goes through its passes. The last pass, `stream`, is
// Outrigger's and hands the exchange to the upstream. The package's own passes are not used: they rewrite the path
// after the policy has matched, let a chunked DELETE smuggle, leave clients hanging, and forward hop-by-hop fields.
import httpProxy, { type ProxyServer } from "http-proxy-3";
import type { CarriedExchange } from "../../exchange/context.ts";
import { Http1Stream } from "./stream.ts";

/**
 * Adds passes, by `proxy.before("web", "stream", pass)` or `"ws"`. They are called once the policy has let a request
 * in. A pass that returns true answers by itself: its answer passes no plugin and no time limit of Outrigger, and is
 * logged.
 */
export type HttpProxyMiddleware = (proxy: ProxyServer) => void;

/** The options for the passes; `target` only satisfies a check of http-proxy-3 and is never parsed. */
interface PassOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly exchange: CarriedExchange;
}

interface Passes {
  webPasses: unknown[];
  wsPasses: unknown[];
}

// The exchange's stream keeps the bytes after the request head.
const noHead = Buffer.alloc(0);

function stream(_req: unknown, _res: unknown, options: PassOptions): true {
  options.exchange.openUpstream();
  return true;
}

/** @returns a function that sends an exchange through the passes, and so to its route's upstream */
export function createForward(middleware?: HttpProxyMiddleware): (exchange: CarriedExchange) => void {
  const proxy = httpProxy.createProxyServer({});
  // The two properties are documented and public at run time, but private in the types (2.0.1).
  const passes = proxy as unknown as Passes;
  passes.webPasses = [stream];
  passes.wsPasses = [stream];
  // http-proxy-3 listens on the client's socket and reports here; the exchange has its own listener.
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
