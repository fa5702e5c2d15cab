// A small OCI registry over loopback http: manifests, blobs, tags, uploads, the catalog, and a token service.
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface Registry {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  readonly port: number;
  /** Manifests by `<repository>:<tag or digest>`. */
  readonly manifests: Map<string, Buffer>;
  /** Blobs by digest. */
  readonly blobs: Map<string, Buffer>;
  /** Each request's method and path, in order. */
  readonly asked: string[];
  /** Called first for every request; if it returns true, it has answered in place of the registry. */
  hook: ((request: http.IncomingMessage, response: http.ServerResponse) => boolean) | undefined;
  /**
   * Stores an artifact of one layer.
   * @returns the manifest's digest
   */
  put(repository: string, tag: string, layer: Buffer, annotations?: Readonly<Record<string, string>>): string;
  close(): Promise<void>;
}

const sha = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** @param options.token bearer token that the registry demands; undefined = none */
export async function startRegistry(options: { token?: string } = {}): Promise<Registry> {
  const manifests = new Map<string, Buffer>();
  const blobs = new Map<string, Buffer>();
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (registry.hook?.(request, response)) return;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => answer(request, Buffer.concat(chunks), response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const host = `127.0.0.1:${port}`;

  function answer(request: http.IncomingMessage, body: Buffer, response: http.ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", `http://${host}`);
    if (pathname === "/token") return void response.end(JSON.stringify({ token: options.token }));
    if (options.token !== undefined && request.headers.authorization !== `Bearer ${options.token}`) {
      const realm = `http://${host}/token`;
      response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}",service="tests"` }).end();
      return;
    }
    const [, repository = "", kind = "", rest = ""] =
      /^\/v2\/(.+)\/(manifests|blobs|tags)\/(.*)$/.exec(pathname) ?? [];
    if (pathname === "/v2/_catalog") {
      const names = new Set([...manifests.keys()].map((key) => key.slice(0, key.indexOf(":"))));
      response.end(JSON.stringify({ repositories: [...names] }));
    } else if (kind === "tags") {
      const tags = [...manifests.keys()].filter(
        (key) => key.startsWith(`${repository}:`) && !key.includes("sha256:"),
      );
      response.end(JSON.stringify({ tags: tags.map((key) => key.slice(repository.length + 1)) }));
    } else if (kind === "blobs" && rest === "uploads/") {
      if (request.method === "POST") response.writeHead(202, { location: `${pathname}?upload=1` }).end();
      else if (sha(body) === searchParams.get("digest")) {
        blobs.set(sha(body), body);
        response.writeHead(201).end();
      } else response.writeHead(400).end();
    } else if (kind === "manifests" && request.method === "PUT") {
      manifests.set(`${repository}:${rest}`, body);
      manifests.set(`${repository}:${sha(body)}`, body);
      response.writeHead(201).end();
    } else {
      const found = kind === "manifests" ? manifests.get(`${repository}:${rest}`) : blobs.get(rest);
      if (found === undefined) response.writeHead(404).end();
      else response.end(request.method === "HEAD" ? undefined : found);
    }
  }

  const registry: Registry = {
    host,
    port,
    manifests,
    blobs,
    asked,
    hook: undefined,
    put(repository, tag, layer, annotations = {}) {
      const manifest = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          layers: [{ mediaType: "application/wasm", digest: sha(layer), size: layer.length }],
          annotations,
        }),
      );
      blobs.set(sha(layer), layer);
      manifests.set(`${repository}:${tag}`, manifest);
      manifests.set(`${repository}:${sha(manifest)}`, manifest);
      return sha(manifest);
    },
    async close() {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return registry;
}
