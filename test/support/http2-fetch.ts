// `fetch` over HTTP/2 to servers that speak it in clear text by prior knowledge, as sidecars do to their clients; for
// other servers the built-in `fetch` is used. Redirects are not followed. For tests of behaviour that must not depend
// on the HTTP version.
import { once } from "node:events";
import http2 from "node:http2";
import { Readable } from "node:stream";

const usual = globalThis.fetch;
const sessions = new Map<string, Promise<http2.ClientHttp2Session | undefined>>();
const bodiless = new Set([204, 205, 304]);
const halfDuplex = { duplex: "half" } as const;

/** Number of requests that went over HTTP/2. */
export const asked = { overHttp2: 0 };

/** @returns undefined if the server does not speak HTTP/2 */
function sessionOf(origin: string): Promise<http2.ClientHttp2Session | undefined> {
  const known = sessions.get(origin);
  if (known !== undefined) return known;
  const opened = open(origin);
  sessions.set(origin, opened);
  const forget = (): void => {
    if (sessions.get(origin) === opened) sessions.delete(origin);
  };
  void opened.then((session) => {
    if (session === undefined) forget();
    else session.once("goaway", forget).once("close", forget);
  });
  return opened;
}

async function open(origin: string): Promise<http2.ClientHttp2Session | undefined> {
  const session = http2.connect(origin);
  const failed = new Promise<undefined>((resolve) => {
    session.on("error", () => resolve(undefined)).once("close", () => resolve(undefined));
  });
  const settled = once(session, "remoteSettings").then(
    () => session,
    () => undefined,
  );
  const speaking = await Promise.race([settled, failed]);
  if (speaking === undefined) session.destroy();
  else session.unref();
  return speaking;
}

export async function fetchOverHttp2(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const request = new Request(input, { ...init, ...(init?.body instanceof ReadableStream && halfDuplex) });
  const url = new URL(request.url);
  const session = url.protocol === "http:" ? await sessionOf(url.origin) : undefined;
  if (session === undefined || session.closed || session.destroyed) return await usual(input, init);
  // The built-in fetch also sends Content-Length for a body in memory.
  const isSized = request.body !== null && !(init?.body instanceof ReadableStream);
  const body = isSized ? Buffer.from(await request.arrayBuffer()) : request.body;
  return await ask(session, request, url, body);
}

async function ask(
  session: http2.ClientHttp2Session,
  request: Request,
  url: URL,
  body: Buffer | ReadableStream | null,
): Promise<Response> {
  asked.overHttp2 += 1;
  const { host, ...fields } = Object.fromEntries(request.headers);
  const head = {
    ":method": request.method,
    ":path": url.pathname + url.search,
    ":authority": host ?? url.host,
  };
  const length = Buffer.isBuffer(body) ? { "content-length": String(body.length) } : {};
  const stream = session.request({ ...fields, ...length, ...head }, { endStream: body === null });
  session.ref();
  stream.once("close", () => {
    if (!session.destroyed) session.unref();
  });
  request.signal.addEventListener("abort", () => stream.close(http2.constants.NGHTTP2_CANCEL));
  if (Buffer.isBuffer(body)) stream.end(body);
  else if (body !== null)
    Readable.fromWeb(body as never)
      .on("error", () => {})
      .pipe(stream);
  // Streams learn only by their close that the session has ended.
  const lost = new Promise<never>((_resolve, reject) => {
    stream.once("error", reject).once("close", () => reject(new TypeError("the stream was closed")));
  });
  lost.catch(() => {});
  const [received] = (await Promise.race([once(stream, "response"), lost])) as [http2.IncomingHttpHeaders];
  const headers = new Headers();
  for (const [name, value] of Object.entries(received)) {
    if (!name.startsWith(":")) for (const line of [value].flat()) headers.append(name, String(line));
  }
  const status = Number(received[":status"]);
  const isEmpty = bodiless.has(status) || request.method === "HEAD";
  if (isEmpty) stream.resume();
  const content = Readable.toWeb(stream) as ReadableStream<Uint8Array<ArrayBuffer>>;
  const isZipped = headers.get("content-encoding") === "gzip";
  const shown = isZipped ? content.pipeThrough(new DecompressionStream("gzip")) : content;
  return new Response(isEmpty ? null : shown, { status, headers });
}
