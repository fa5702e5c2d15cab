// Requests to the hosts that packages may come from: bounded in time and size, and nowhere else.
import http from "node:http";
import https from "node:https";
import { type HostPattern, isAmong, isLoopbackHost } from "../config/formats.ts";
import { ClosedAddress, isClosedAddress, lookupOpen } from "../language/closed-addresses.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";

export interface HostClientOptions {
  /** OUTRIGGER_PLUGIN_HOSTS. */
  readonly hosts: readonly HostPattern[];
  /** PEM; undefined = the authorities of Node and NODE_EXTRA_CA_CERTS. */
  readonly ca?: string | undefined;
}

export interface HostRequest {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT";
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Of the answer's body. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export interface HostAnswer {
  readonly status: number;
  readonly fields: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Registries hand out blobs by a redirect to their storage. */
const maxRedirects = 3;
const redirects = new Set([301, 302, 303, 307, 308]);

export class HostClient {
  readonly #hosts: readonly HostPattern[];
  readonly #ca: string | undefined;

  constructor({ hosts, ca }: HostClientOptions) {
    this.#hosts = hosts;
    this.#ca = ca;
  }

  /**
   * Any answer is one, whatever its status. Rejects with PackageUnavailable when there is none, with PackageError when
   * there may be none: the host is not named, the answer is too long.
   */
  async request(url: URL, request: HostRequest): Promise<HostAnswer> {
    let { fields = {} } = request;
    let at = url;
    for (let left = maxRedirects; ; left -= 1) {
      this.#admit(at);
      const answer = await this.#exchange(at, { ...request, fields });
      const { location } = answer.fields;
      const isRead = request.method === undefined || request.method === "GET";
      if (!isRead || location === undefined || !redirects.has(answer.status)) return answer;
      if (left === 0)
        throw new PackageUnavailable(`${quoted(url.host)} redirects more than ${maxRedirects} times`);
      if (!URL.canParse(location, at)) return answer;
      const next = new URL(location, at);
      // What was said to one host in confidence is not for the next.
      if (next.origin !== at.origin) fields = withoutCredentials(fields);
      at = next;
    }
  }

  /** @throws PackageError */
  #admit(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
    if (url.username !== "" || url.password !== "")
      throw new PackageError(`${quoted(url.host)}: a user or password has no place in a location`);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopbackHost(host)))
      throw new PackageError(`${quoted(url.host)}: only https is spoken to other machines`);
    const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
    if (!isAmong({ host, port }, this.#hosts))
      throw new PackageError(
        `${quoted(`${url.hostname}:${port}`)} is none of OUTRIGGER_PLUGIN_HOSTS, which packages may come from`,
      );
    if (isClosedAddress(host)) throw new PackageError(`${quoted(host)} ${new ClosedAddress().message}`);
  }

  #exchange(
    url: URL,
    { method = "GET", fields = {}, body, maxBytes, signal }: HostRequest,
  ): Promise<HostAnswer> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(failure(url, error, signal));
      const options: https.RequestOptions = {
        method,
        // A coding would make few bytes swell.
        headers: {
          "accept-encoding": "identity",
          ...(body === undefined ? {} : { "content-length": String(body.length) }),
          ...fields,
        },
        agent: false,
        lookup: lookupOpen,
        signal,
        maxHeaderSize: 16_384,
        ...(this.#ca === undefined ? {} : { ca: this.#ca }),
      };
      const request = (url.protocol === "https:" ? https : http).request(url, options);
      request.once("error", fail);
      // A server that goes over to another protocol, which nobody asked for: no error tells of that.
      request.once("upgrade", (_answer, socket) => {
        socket.destroy();
        fail(new PackageUnavailable("answers with another protocol"));
      });
      request.once("response", (response) => {
        collect(response, maxBytes).then(
          (bytes) => resolve({ status: response.statusCode ?? 0, fields: response.headers, body: bytes }),
          fail,
        );
      });
      request.end(body);
    });
  }
}

async function collect(response: http.IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const announced = Number(response.headers["content-length"] ?? 0);
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop destroys the connection.
    if (Math.max(bytes, announced) > maxBytes)
      throw new PackageError(`the answer has more than ${maxBytes} bytes, which are the most`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function failure(url: URL, error: unknown, signal: AbortSignal): Error {
  const { host } = url;
  if (error instanceof PackageError) return new PackageError(`${quoted(host)}: ${error.message}`);
  if (error instanceof ClosedAddress) return new PackageError(`${quoted(host)} ${error.message}`);
  if (error instanceof PackageUnavailable) return new PackageUnavailable(`${quoted(host)} ${error.message}`);
  const { code } = error as NodeJS.ErrnoException;
  const why = signal.aborted ? "no answer in time" : (code ?? textOf(error));
  return new PackageUnavailable(`${quoted(host)}: ${why}`);
}

function withoutCredentials(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== "authorization"));
}

/** @throws PackageUnavailable for every status but 2xx; a later try may find it */
export function taken(url: URL, what: string, answer: HostAnswer): Buffer {
  const { status, body } = answer;
  if (status >= 200 && status < 300) return body;
  if (status === 404) throw new PackageUnavailable(`${quoted(url.host)} has no ${what}`);
  throw new PackageUnavailable(`${quoted(url.host)} answers ${status} for ${what}`);
}
