// Program: one of the Node contenders, `node proxies.ts <name> <port of the upstream>`, each in its best configuration:
// keep-alive to the upstream, no logging.
import http from "node:http";
import net, { type AddressInfo } from "node:net";

type Maker = (upstreamUrl: string) => Promise<net.Server> | net.Server;

// Each loads only its own library, so that its memory is its own too.
const makers: Readonly<Record<string, Maker>> = {
  async "http-proxy-3"(url) {
    const { default: httpProxy } = await import("http-proxy-3");
    const agent = new http.Agent({ keepAlive: true });
    const proxy = httpProxy.createProxyServer({ target: url, agent });
    proxy.on("error", (_error, _request, response) => {
      if (response !== undefined && "writeHead" in response) response.writeHead(502).end();
      else response?.destroy();
    });
    return http
      .createServer((request, response) => proxy.web(request, response))
      .on("upgrade", (request, socket, head) => proxy.ws(request, socket, head));
  },
  async "@fastify/http-proxy"(url) {
    const [{ fastify }, { default: proxy }] = await Promise.all([
      import("fastify"),
      import("@fastify/http-proxy"),
    ]);
    const app = fastify({ logger: false });
    await app.register(proxy, { upstream: url });
    await app.ready();
    return app.server;
  },
  async "hono + fetch"(url) {
    const [{ Hono }, { getRequestListener }] = await Promise.all([
      import("hono"),
      import("@hono/node-server"),
    ]);
    const app = new Hono();
    app.all("*", async ({ req }) => {
      const { pathname, search } = new URL(req.url);
      const hasBody = req.method !== "GET" && req.method !== "HEAD";
      const answer = await fetch(url + pathname + search, {
        method: req.method,
        headers: req.raw.headers,
        ...(hasBody ? { body: req.raw.body, duplex: "half" } : {}),
      });
      return new Response(answer.body, answer);
    });
    const listener = getRequestListener(app.fetch);
    return http.createServer((request, response) => void listener(request, response));
  },
  /** No HTTP at all: the lowest cost of moving bytes in Node. */
  "byte relay"(url) {
    const upstreamPort = Number(new URL(url).port);
    return net.createServer({ noDelay: true }, (client) => {
      const service = net.connect({ port: upstreamPort, host: "127.0.0.1", noDelay: true });
      client.on("data", (bytes) => service.write(bytes)).on("end", () => service.end());
      service.on("data", (bytes) => client.write(bytes)).on("end", () => client.end());
      client.on("error", () => service.destroy());
      service.on("error", () => client.destroy());
    });
  },
  "node:http"() {
    const body = Buffer.alloc(300, "x");
    return http.createServer((_request, response) => {
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length });
      response.end(body);
    });
  },
};

const [name = "", port = ""] = process.argv.slice(2);
const make = makers[name];
if (make === undefined) throw new Error(`no such contender: ${name}`);
const server = await make(`http://127.0.0.1:${port}`);
server.listen(0, "127.0.0.1", () => process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`));
