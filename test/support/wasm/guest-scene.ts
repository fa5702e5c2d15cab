// A real sidecar with one guest on several routes, each with its own configuration, in front of a service that answers
// with the request it received.
import http from "node:http";
import { once } from "node:events";
import { type Extension, extensionEntry } from "../../../src/extensions/entry.ts";
import { digestOf, readPackage } from "../../../src/extensions/package.ts";
import { createWasmPlugin } from "../../../src/runtime/wasm/wasm-plugin.ts";
import { eventually } from "../redis.ts";
import { startSidecar, type TestSidecar } from "../sidecar.ts";
import type { z } from "zod";

export const guestHosts = ["isolate", "thread"] as const;

export interface GuestSceneOptions {
  readonly bytes: Buffer;
  /** Default: a sidecar's own choice. */
  readonly hosts?: (typeof guestHosts)[number];
  /** Time limit for the start of a guest. */
  readonly startMs?: number;
  /** Whether each route has a guest of its own (default: one has them all). */
  readonly apart?: boolean;
  /** Configuration of the guest by the path of a route. */
  readonly routes: Readonly<Record<string, string>>;
  readonly entry?: Partial<z.input<typeof extensionEntry>>;
  /** With `apart`: further options of the guests' entries, by path. */
  readonly entries?: Readonly<Record<string, Partial<z.input<typeof extensionEntry>>>>;
  readonly vmConfiguration?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly serve?: http.RequestListener;
  /** Further plugins that the policy names, on all routes. */
  readonly further?: readonly string[];
  readonly pluginConfig?: Readonly<Record<string, unknown>>;
}

export interface Forwarded {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly trailers: Readonly<Record<string, string>>;
}

export interface GuestAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: Readonly<Record<string, string | undefined>>;
  /** The request that reached the service; undefined if none did. */
  readonly forwarded: Forwarded | undefined;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | readonly string[];
}

/** An extension as it is declared in a policy. */
export function extensionOf(
  bytes: Buffer,
  entry: Partial<z.input<typeof extensionEntry>> = {},
  name = "guest",
): Extension {
  const whole = extensionEntry.parse({
    source: "file:/guest.wasm",
    sha256: digestOf(bytes),
    runtime: "wasm",
    ...entry,
  });
  return { name, entry: whole, package: readPackage(bytes, { name, manifest: whole.manifest }) };
}

export class GuestScene implements AsyncDisposable {
  readonly sidecar: TestSidecar;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #forwarded: Map<string, Forwarded>;
  #asked = 0;
  #since = 0;

  private constructor(sidecar: TestSidecar, forwarded: Map<string, Forwarded>) {
    this.sidecar = sidecar;
    this.#forwarded = forwarded;
  }

  static async start(options: GuestSceneOptions): Promise<GuestScene> {
    const forwarded = new Map<string, Forwarded>();
    const nameOf = (index: number): string => (options.apart === true ? `guest-${index}` : "guest");
    const names = [...new Set(Object.keys(options.routes).map((_, index) => nameOf(index)))];
    const plugins = names.map((name, index) => {
      const path = Object.keys(options.routes)[index] ?? "";
      const entry = { priority: 100 + index, ...options.entry, ...options.entries?.[path] };
      return createWasmPlugin(extensionOf(options.bytes, entry, name), {
        ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
        ...(options.startMs === undefined ? {} : { startMs: options.startMs }),
      });
    });
    const routes = Object.entries(options.routes).map(([path, configuration], index) => ({
      path,
      plugins: [nameOf(index), ...(options.further ?? [])],
      pluginConfig: {
        [nameOf(index)]: {
          configuration,
          ...(options.vmConfiguration === undefined ? {} : { vmConfiguration: options.vmConfiguration }),
        },
        ...options.pluginConfig,
      },
    }));
    const sidecar = await startSidecar({
      plugins,
      policy: { plugins: [], routes: [...routes, { path: "/*" }] },
      upstream: (request, response) => {
        void serve(request, response, forwarded, options.serve);
      },
      env: { LOG_LEVEL: "debug", ...options.env },
    });
    return new GuestScene(sidecar, forwarded);
  }

  async ask(path: string, { method, headers = {}, body }: Asked = {}): Promise<GuestAnswer> {
    this.#since = this.sidecar.lines.length;
    const id = String((this.#asked += 1));
    const request = http.request(this.sidecar.url + path, {
      agent: this.#agent,
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: { "x-asked": id, ...headers },
    });
    if (typeof body === "string") request.end(body, "latin1");
    else {
      for (const part of body ?? []) request.write(part, "latin1");
      request.end();
    }
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let text = "";
    response.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    await once(response, "end");
    const { statusCode: status = 0, headers: fields, trailers } = response;
    return { status, headers: fields, body: text, trailers, forwarded: this.#forwarded.get(id) };
  }

  /** The request that reached the service with this value of `x-asked`. */
  forwardedAs(id: string): Forwarded | undefined {
    return this.#forwarded.get(id);
  }

  /** Results that the guest logged since the last request, by line of its script; waits for results of that hook. */
  async results(hook = "request"): Promise<Record<string, string>> {
    const isOfHook = (line: string): boolean => line.startsWith(hook) && line.includes(" -> ");
    await eventually(`what the guest did at ${hook}`, () => this.messages().some(isOfHook));
    return Object.fromEntries(this.messages().flatMap((message) => split(message)));
  }

  /** The result of that line, already logged (since the last request) or still to come. */
  async result(line: string): Promise<string> {
    const known = new Map(this.messages().flatMap((message) => split(message))).get(line);
    if (known !== undefined) return known;
    const found = await this.sidecar.line(({ msg }) => `\n${String(msg)}`.includes(`\n${line} -> `));
    return new Map(split(String(found["msg"]))).get(line) ?? "";
  }

  /** Lines logged since the last request. */
  messages(): string[] {
    return this.sidecar.lines.slice(this.#since).flatMap(({ msg }) => String(msg).split("\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.sidecar.stop();
  }
}

function split(message: string): [string, string][] {
  return message.split("\n").flatMap((line): [string, string][] => {
    const cut = line.indexOf(" -> ");
    return cut === -1 ? [] : [[line.slice(0, cut), line.slice(cut + 4)]];
  });
}

async function serve(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  forwarded: Map<string, Forwarded>,
  further: http.RequestListener | undefined,
): Promise<void> {
  let body = "";
  for await (const chunk of request.setEncoding("latin1")) body += chunk as string;
  const headers = request.headers as Record<string, string>;
  forwarded.set(headers["x-asked"] ?? "", {
    method: request.method ?? "",
    url: request.url ?? "",
    headers,
    body,
    trailers: request.trailers as Record<string, string>,
  });
  if (further !== undefined) {
    further(request, response);
    return;
  }
  response.setHeader("x-service", "yes");
  response.end(`${request.method} ${request.url} ${body}`);
}
