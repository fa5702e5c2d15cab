// Calls the API server of the cluster in which this process runs, over node:https. The service account's token and CA
// certificates are read for every request, since the kubelet replaces both while a pod lives.
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import { join } from "node:path";
import { textOf } from "../plugin-api/error-text.ts";
import { readCertificates } from "../tls/read-files.ts";

const defaultServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

export interface Cluster {
  readonly host: string;
  readonly port: number;
  /** The folder with `token`, `ca.crt` and `namespace`. */
  readonly serviceAccount: string;
}

/** A failed call of the API server; the text is for the operator. */
export class ApiProblem extends Error {
  override readonly name = "ApiProblem";
  /** HTTP status; 0 = there was no answer. */
  readonly status: number;

  constructor(message: string, status = 0) {
    super(message);
    this.status = status;
  }
}

export interface ApiRequest {
  readonly method: "GET" | "PATCH" | "POST";
  /** Path with its query. */
  readonly path: string;
  /** A merge patch (RFC 7386), as a value that JSON can hold. */
  readonly patch?: object;
  /** The object to create, as a value that JSON can hold. */
  readonly object?: object;
  /** For a list: return only names, labels and annotations. */
  readonly metadataOnly?: true;
  readonly signal: AbortSignal;
}

/** Kubernetes' API concepts, "Resource versions, …, metadata only". */
const metadataType = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

const limitMs = 15_000;
/** Limit of one answer, which is a page of objects. */
const maxBodyBytes = 32 * 1_048_576;
/** Limit of one event; etcd stores no object above 1.5 MiB. */
const maxEventBytes = 4 * 1_048_576;
/** Most characters of an error's text that are shown. */
const maxSaid = 300;

/** This process does not run in a cluster. */
export class NoCluster extends ApiProblem {}

/** @throws NoCluster */
export function clusterIn(
  env: Readonly<Record<string, string | undefined>>,
  serviceAccount = defaultServiceAccount,
): Cluster {
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "" } = env;
  const isHost = /^[0-9A-Za-z.:-]{1,253}$/.test(host);
  if (!isHost || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535)
    throw new NoCluster(
      "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no API server: run it in a pod",
    );
  return { host, port: Number(port), serviceAccount };
}

/** @throws ApiProblem when there is no such file */
export function namespaceOf({ serviceAccount }: Cluster): string {
  return readSmall(join(serviceAccount, "namespace"));
}

export class KubernetesApi {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** @returns the parsed answer, and its length in bytes. Rejects with ApiProblem. */
  async ask(request: ApiRequest): Promise<{ readonly document: unknown; readonly length: number }> {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(limitMs)]);
    try {
      const response = await this.#open({ ...request, signal });
      const body = await bodyOf(response);
      return { document: JSON.parse(body) as unknown, length: body.length };
    } catch (error) {
      throw problemOf(error, this.#where);
    }
  }

  /**
   * Passes on every line of a watch. Resolves when the API server ends the watch; rejects with ApiProblem otherwise.
   * @param limitMs limit of the watch; the API server should end it before
   * @param onOpen called when the API server has answered
   */
  async watch(
    path: string,
    {
      signal,
      limitMs,
      onOpen,
    }: { readonly signal: AbortSignal; readonly limitMs: number; readonly onOpen: () => void },
    onEvent: (event: unknown) => void,
  ): Promise<void> {
    const ends = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    try {
      const response = await this.#open({ method: "GET", path, signal: ends });
      onOpen();
      for await (const line of linesOf(response)) onEvent(JSON.parse(line));
    } catch (error) {
      throw problemOf(error, this.#where);
    }
  }

  get #where(): string {
    const { host, port } = this.#cluster;
    return `the API server ${host.includes(":") ? `[${host}]` : host}:${port}`;
  }

  /** @returns the answer with a status below 300. Rejects otherwise. */
  async #open({ method, path, patch, object, metadataOnly, signal }: ApiRequest): Promise<IncomingMessage> {
    const { host, port, serviceAccount } = this.#cluster;
    const given = patch ?? object;
    const body = given === undefined ? undefined : JSON.stringify(given);
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = https.request({
      host,
      port,
      method,
      path,
      signal,
      agent: false,
      ca: authoritiesIn(serviceAccount),
      headers: {
        accept: metadataOnly ? metadataType : "application/json",
        authorization: `Bearer ${readSmall(join(serviceAccount, "token"))}`,
        ...(body !== undefined && {
          "content-type": patch === undefined ? "application/json" : "application/merge-patch+json",
          "content-length": Buffer.byteLength(body),
        }),
      },
    });
    request.once("error", reject);
    request.once("response", resolve);
    request.end(body);
    const response = await promise;
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    throw new ApiProblem(saidBy(await bodyOf(response), statusCode), statusCode);
  }
}

function authoritiesIn(folder: string): string {
  const path = join(folder, "ca.crt");
  try {
    return readCertificates(path);
  } catch (error) {
    throw new ApiProblem(`${path}: ${textOf(error)}`);
  }
}

/** @throws ApiProblem */
function readSmall(path: string): string {
  try {
    const text = readFileSync(path, "utf8").trim();
    if (/^[\x21-\x7e]{1,16384}$/.test(text)) return text;
  } catch (error) {
    throw new ApiProblem(`${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "?"}`);
  }
  throw new ApiProblem(`${path} does not hold what a service account has there`);
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) {
      response.destroy();
      throw new ApiProblem(`answers with more than ${maxBodyBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...begun, chunk.subarray(from, end)]).toString();
      [begun, length, from] = [[], 0, end + 1];
      if (line !== "") yield line;
    }
    begun.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > maxEventBytes) throw new ApiProblem(`sends an event of more than ${maxEventBytes} bytes`);
  }
}

/** @returns the `message` of a Status object; without one, the status alone */
function saidBy(body: string, status: number): string {
  let said = "";
  try {
    const { message } = Object(JSON.parse(body)) as { message?: unknown };
    if (typeof message === "string") said = message.slice(0, maxSaid);
  } catch {
    // Not JSON: a proxy's error page, for example.
  }
  return said === "" ? `answers ${status}` : `answers ${status}: ${said}`;
}

function problemOf(error: unknown, where: string): ApiProblem {
  const { status = 0 } = error instanceof ApiProblem ? error : {};
  const isLate = error instanceof Error && ["TimeoutError", "AbortError"].includes(error.name);
  const message = isLate ? "does not answer in time" : textOf(error);
  return new ApiProblem(`${where}: ${message}`, status);
}
