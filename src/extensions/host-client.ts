// Sends requests to the hosts that packages may come from, and to no others; bounded in time and size.
import http from "node:http";
import https from "node:https";
import { type HostPattern, isAmong, isLoopbackHost } from "../config/formats.ts";
import { ClosedAddress, isClosedAddress, lookupOpen } from "../language/closed-addresses.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";

export interface HostClientOptions {
  /** OUTRIGGER_PLUGIN_HOSTS. */
  readonly hosts: readonly HostPattern[];
  /** In PEM; undefined = the authorities of Node and NODE_EXTRA_CA_CERTS. */
  readonly ca?: string | undefined;
}

export interface HostRequest {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT";
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Bound on the response body. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export interface HostAnswer {
  readonly status: number;
  readonly fields: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Registries serve blobs by redirecting to their storage. */
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
   * Resolves with any response, whatever its status. Rejects with PackageUnavailable when there is no response, and
   * with PackageError when the request is not allowed (the host is not named) or the response is too long.
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
      // Credentials for one host must not be sent to another.
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
        // With a coding, few bytes could expand to many.
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
      // The server switches to another protocol without being asked: Node reports this by no error.
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
    // Leaving the loop by an exception destroys the connection.
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

/**
 * The body of a successful response. @throws PackageUnavailable for every other status, since a later try may succeed
 */
export function taken(url: URL, what: string, answer: HostAnswer): Buffer {
  const { status, body } = answer;
  if (status >= 200 && status < 300) return body;
  if (status === 404) throw new PackageUnavailable(`${quoted(url.host)} has no ${what}`);
  throw new PackageUnavailable(`${quoted(url.host)} answers ${status} for ${what}`);
}
