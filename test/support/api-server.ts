// A stand-in for the Kubernetes API server, over real HTTPS. Tests cannot have a real one: it needs etcd, and no
// package brings it. It implements what `outrigger sync` uses, as the Kubernetes API concepts describe it: lists in
// pages, watches with bookmarks, 410 for forgotten versions, merge patches of the status subresource, bearer tokens.
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { makeCertificate } from "./certificate.ts";

export interface Stored {
  readonly metadata: {
    readonly name: string;
    readonly generation?: number;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
    readonly resourceVersion?: string;
    readonly uid?: string;
  };
  readonly spec?: object;
  readonly status?: Record<string, unknown>;
  readonly data?: Record<string, string>;
}

interface Event {
  readonly path: string;
  readonly version: number;
  readonly type: string;
  readonly object: object;
}

export class ApiServer {
  /** Environment variables that a pod would have, with paths in the folder of this server. */
  env: Record<string, string> = {};
  readonly serviceAccount = mkdtempSync(join(tmpdir(), "outrigger-service-account-"));
  /** `GET /path?query` of every request so far. */
  readonly asked: string[] = [];
  /** Collections that exist. */
  readonly kinds: Set<string>;
  token = "first";
  /** While set, every list and watch gets this answer. */
  refuses: { status: number; message: string } | undefined;
  /** While set, every write of a status gets this answer. */
  refusesStatus: { status: number; message: string } | undefined;
  readonly #server;
  readonly #cert: string;
  readonly #objects = new Map<string, Map<string, Stored>>();
  readonly #watches = new Map<ServerResponse, string>();
  #events: Event[] = [];
  #version = 100;
  #forgotten = 0;
  /** Whether every version that a watch asks for is forgotten (410). */
  forgetsAll = false;

  constructor(kinds: readonly string[]) {
    this.kinds = new Set(kinds);
    const { key, cert } = makeCertificate();
    this.#server = createServer({ key, cert }, (request, response) => void this.#answer(request, response));
    this.#cert = cert;
    this.writeAuthority();
    writeFileSync(join(this.serviceAccount, "namespace"), "demo");
    this.writeToken(this.token);
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const { port } = this.#server.address() as AddressInfo;
    this.env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(port) };
  }

  /** Replaces the token file as the kubelet does. */
  writeToken(token: string): void {
    writeFileSync(join(this.serviceAccount, "token"), `${token}\n`);
  }

  /** @param cert default: the server's own certificate */
  writeAuthority(cert = this.#cert): void {
    writeFileSync(join(this.serviceAccount, "ca.crt"), cert);
  }

  put(path: string, object: Stored): void {
    const { name } = object.metadata;
    const before = this.#of(path).get(name);
    const isSame = JSON.stringify(before?.spec) === JSON.stringify(object.spec);
    const generation = (before?.metadata.generation ?? 0) + (isSame ? 0 : 1);
    const status = before?.status === undefined ? {} : { status: before.status };
    const metadata = { ...object.metadata, generation, uid: `uid-${name}` };
    this.#change(path, before === undefined ? "ADDED" : "MODIFIED", { ...object, ...status, metadata });
  }

  get(path: string, name: string): Stored | undefined {
    return this.#of(path).get(name);
  }

  delete(path: string, name: string): void {
    const found = this.get(path, name);
    if (found !== undefined) this.#change(path, "DELETED", found);
  }

  /** Forgets old versions as etcd's compaction does, and ends all watches. */
  forget(): void {
    this.#forgotten = this.#version;
    this.#events = [];
    this.endWatches();
  }

  endWatches(): void {
    for (const response of this.#watches.keys()) response.end();
  }

  /** Sends all watches a bookmark with the current version. */
  bookmark(): void {
    const object = { metadata: { resourceVersion: String(this.#version) } };
    for (const response of this.#watches.keys())
      response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
  }

  get watches(): number {
    return this.#watches.size;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
    rmSync(this.serviceAccount, { recursive: true });
  }

  #of(path: string): Map<string, Stored> {
    const found = this.#objects.get(path) ?? new Map<string, Stored>();
    this.#objects.set(path, found);
    return found;
  }

  #change(path: string, type: string, object: Stored): void {
    const version = ++this.#version;
    const now = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    if (type === "DELETED") this.#of(path).delete(object.metadata.name);
    else this.#of(path).set(object.metadata.name, now);
    const event = { path, version, type, object: now };
    this.#events.push(event);
    for (const [response, watched] of this.#watches) if (watched === path) write(response, event);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "https://localhost");
    this.asked.push(`${request.method} ${url.pathname}${url.search}`);
    if (request.headers.authorization !== `Bearer ${this.token}`)
      return refuse(response, 401, "Unauthorized");
    if (request.method === "PATCH" && this.refusesStatus !== undefined)
      return refuse(response, this.refusesStatus.status, this.refusesStatus.message);
    if (request.method === "PATCH") return await this.#patch(request, response, url.pathname);
    if (this.refuses !== undefined) return refuse(response, this.refuses.status, this.refuses.message);
    if (!this.kinds.has(url.pathname))
      return refuse(response, 404, "the server could not find the requested resource");
    if (url.searchParams.get("watch") === "1") this.#watch(response, url);
    else this.#list(response, url);
  }

  #list(response: ServerResponse, { pathname, searchParams }: URL): void {
    const [label, value] = (searchParams.get("labelSelector") ?? "").split("=");
    const all = [...this.#of(pathname).values()].filter(
      ({ metadata }) => !label || metadata.labels?.[label] === value,
    );
    // Pages hold one object, so that there are several pages.
    const from = Number(searchParams.get("continue") ?? 0);
    const next = from + 1 < all.length ? { continue: String(from + 1) } : {};
    const items = all.slice(from, from + 1);
    send(response, 200, {
      kind: "List",
      metadata: { resourceVersion: String(this.#version), ...next },
      items,
    });
  }

  #watch(response: ServerResponse, { pathname, searchParams }: URL): void {
    const from = Number(searchParams.get("resourceVersion"));
    response.writeHead(200, { "content-type": "application/json" });
    if (this.forgetsAll || from < this.#forgotten) {
      const gone = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };
      response.end(`${JSON.stringify({ type: "ERROR", object: gone })}\n`);
      return;
    }
    this.#watches.set(response, pathname);
    response.once("close", () => this.#watches.delete(response));
    for (const event of this.#events)
      if (event.path === pathname && event.version > from) write(response, event);
    // Sends only the head until there is an event: a real server sends bookmarks about every minute.
    response.flushHeaders();
  }

  async #patch(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const [, collection = "", name = ""] = /^(.*)\/([^/]+)\/status$/.exec(path) ?? [];
    const found = this.get(collection, name);
    const { status } = (await json(request)) as { status: Record<string, unknown> };
    if (found === undefined) return refuse(response, 404, "not found");
    if (request.headers["content-type"] !== "application/merge-patch+json")
      return refuse(response, 415, "type");
    const patched = { ...found, status: { ...found.status, ...status } };
    this.#change(collection, "MODIFIED", patched);
    send(response, 200, patched);
  }
}

const write = (response: ServerResponse, { type, object }: Event): void =>
  void response.write(`${JSON.stringify({ type, object })}\n`);

function send(response: ServerResponse, status: number, document: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(document));
}

const refuse = (response: ServerResponse, code: number, message: string): void =>
  send(response, code, { kind: "Status", status: "Failure", code, message });
