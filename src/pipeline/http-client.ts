// The client behind `services.http`: a plugin's own calls (issuers, introspection), bounded in time and size. One
// connection a call: they are rare, and none must outlive its plugin.
import http from "node:http";
import https from "node:https";
import type { HttpAnswer, HttpClient } from "./services.ts";

type Request = Parameters<HttpClient["request"]>[0];

export function createHttpClient(): HttpClient {
  return {
    async request(options) {
      const url = new URL(options.url);
      if (url.protocol !== "http:" && url.protocol !== "https:")
        throw new Error(`${url.protocol} is not spoken here`);
      const limit = AbortSignal.timeout(options.timeoutMs);
      const signal = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal]);
      try {
        return await exchange(url, options, signal);
      } catch (error) {
        const why = limit.aborted ? `no answer within ${options.timeoutMs} ms` : reason(error);
        // The path and query may hold secrets; the host does not.
        throw new Error(`${url.host}: ${why}`, { cause: error });
      }
    },
  };
}

function exchange(url: URL, options: Request, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string | number> = { ...options.fields };
    if (options.body !== undefined) headers["content-length"] = Buffer.byteLength(options.body);
    const request = (url.protocol === "https:" ? https : http).request(url, {
      method: options.method ?? "GET",
      headers,
      agent: false,
      signal,
      maxHeaderSize: 16_384,
    });
    request.once("error", reject);
    request.once("response", (response) => {
      collect(response, options.maxBodyBytes).then((body) => {
        resolve({ status: response.statusCode ?? 0, fields: fieldMap(response), body });
      }, reject);
    });
    request.end(options.body);
  });
}

async function collect(response: http.IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop destroys the response.
    if (bytes > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function fieldMap(response: http.IncomingMessage): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return "failed";
  const { code } = error as NodeJS.ErrnoException;
  return code ?? error.message;
}
