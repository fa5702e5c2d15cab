// Client of an OCI registry (OCI distribution specification 1.1), as far as packages need it: manifests, blobs, tags,
// and anonymous tokens. It verifies the digests.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import { isLoopbackHost } from "../config/formats.ts";
import { type HostAnswer, type HostClient, type HostRequest, taken } from "./host-client.ts";
import { digestOf } from "./package.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";
import { maxVersions } from "./source.ts";

export const manifestType = "application/vnd.oci.image.manifest.v1+json";
const dockerManifestType = "application/vnd.docker.distribution.manifest.v2+json";
const maxDocumentBytes = 262_144;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be a digest by sha256");
const manifestShape = z.object({
  mediaType: z.string().optional(),
  layers: z
    .array(z.object({ digest, size: z.int().min(0), mediaType: z.string().max(256) }))
    .min(1)
    .max(64),
  annotations: z.record(z.string(), z.string()).default({}),
});
const tagsShape = z.object({ tags: z.array(z.string()).nullish() });
const catalogShape = z.object({ repositories: z.array(z.string()).nullish() });
const tokenShape = z.object({ token: z.string().optional(), access_token: z.string().optional() });

export type OciManifest = z.output<typeof manifestShape>;
/** The scope that a token is requested for. */
export type Scope = "pull" | "pull,push";

/** One repository of a registry. Use a new object for each attempt: it keeps token and signal. */
export class OciRepository {
  readonly #client: HostClient;
  readonly #base: URL;
  readonly #repository: string;
  readonly #signal: AbortSignal;
  readonly #scope: Scope;
  #token: string | undefined;

  constructor(
    client: HostClient,
    { registry, repository }: { registry: string; repository: string },
    signal: AbortSignal,
    scope: Scope = "pull",
  ) {
    this.#client = client;
    this.#repository = repository;
    this.#signal = signal;
    this.#scope = scope;
    const host = URL.parse(`https://${registry}`)?.hostname.replace(/^\[|\]$/g, "") ?? "";
    // As other clients do: a registry on this machine usually has no certificate.
    this.#base = new URL(`${isLoopbackHost(host) ? "http" : "https"}://${registry}/v2/`);
  }

  /** @param reference a tag, or a digest, which is then verified. Rejects with PackageUnavailable when there is none */
  async manifest(reference: string): Promise<{ manifest: OciManifest; digest: string }> {
    const url = this.#url(`manifests/${reference}`);
    const fields = { accept: `${manifestType}, ${dockerManifestType}` };
    const bytes = taken(
      url,
      `${this.#repository}:${reference}`,
      await this.send(url, { fields, maxBytes: maxDocumentBytes }),
    );
    const found = `sha256:${digestOf(bytes)}`;
    if (reference.startsWith("sha256:") && reference !== found)
      throw new PackageUnavailable(`${quoted(url.host)} answers for ${reference} with ${found}`);
    return { manifest: documentOf(bytes, manifestShape, "manifest"), digest: found };
  }

  async blob(wanted: string, maxBytes: number): Promise<Buffer> {
    const url = this.#url(`blobs/${wanted}`);
    const bytes = taken(url, wanted, await this.send(url, { maxBytes }));
    const found = `sha256:${digestOf(bytes)}`;
    if (found === wanted) return bytes;
    throw new PackageUnavailable(`${quoted(url.host)} answers for ${wanted} with ${found}`);
  }

  /** At most a thousand tags; none for a repository that does not exist. */
  async tags(): Promise<readonly string[]> {
    const url = this.#url(`tags/list?n=${maxVersions}`);
    const answer = await this.send(url, { maxBytes: maxDocumentBytes });
    if (answer.status === 404) return [];
    const { tags } = documentOf(taken(url, "list of tags", answer), tagsShape, "list of tags");
    return (tags ?? []).slice(0, maxVersions);
  }

  /** Repositories of the registry, if it lists them. */
  async repositories(): Promise<readonly string[]> {
    const url = new URL(`_catalog?n=${maxVersions}`, this.#base);
    const bytes = taken(url, "list of repositories", await this.send(url, { maxBytes: maxDocumentBytes }));
    return (documentOf(bytes, catalogShape, "list of repositories").repositories ?? []).slice(0, maxVersions);
  }

  #url(rest: string): URL {
    return new URL(`${this.#repository}/${rest}`, this.#base);
  }

  /** Sends a request; gets a token and repeats it if the registry demands one. */
  async send(url: URL, request: Omit<HostRequest, "signal">): Promise<HostAnswer> {
    const first = await this.#once(url, request);
    const challenge = first.fields["www-authenticate"];
    if (first.status !== 401 || challenge === undefined) return first;
    this.#token = await this.#tokenFor(challenge);
    return await this.#once(url, request);
  }

  /** The URL at which an upload to this repository starts. */
  uploads(): URL {
    return this.#url("blobs/uploads/");
  }

  manifestUrl(reference: string): URL {
    return this.#url(`manifests/${reference}`);
  }

  blobUrl(wanted: string): URL {
    return this.#url(`blobs/${wanted}`);
  }

  async #once(url: URL, request: Omit<HostRequest, "signal">): Promise<HostAnswer> {
    const authorization =
      this.#token === undefined || url.origin !== this.#base.origin
        ? {}
        : { authorization: `Bearer ${this.#token}` };
    return await this.#client.request(url, {
      ...request,
      fields: { ...request.fields, ...authorization },
      signal: this.#signal,
    });
  }

  async #tokenFor(challenge: string): Promise<string> {
    const realm = parameter(challenge, "realm");
    const url = /^bearer /i.test(challenge) && realm !== undefined ? URL.parse(realm) : null;
    if (url === null)
      throw new PackageUnavailable(
        `${quoted(this.#base.host)} asks for credentials, and only takes such as we have none of`,
      );
    const service = parameter(challenge, "service");
    if (service !== undefined) url.searchParams.set("service", service);
    url.searchParams.set("scope", `repository:${this.#repository}:${this.#scope}`);
    const answer = await this.#client.request(url, { maxBytes: 65_536, signal: this.#signal });
    const found = documentOf(taken(url, "token", answer), tokenShape, "token");
    const token = found.token ?? found.access_token ?? "";
    // Anything but visible ASCII could not be sent in a field.
    if (/^[\x21-\x7e]{1,8192}$/.test(token)) return token;
    throw new PackageUnavailable(`${quoted(url.host)} gives no token`);
  }
}

/** A parameter of `Bearer realm="…",service="…"` (RFC 9110 section 11.2). */
function parameter(challenge: string, name: string): string | undefined {
  return new RegExp(`[ ,]${name}="([^"\\\\]{1,2000})"`, "i").exec(challenge)?.[1];
}

/** @throws PackageError */
function documentOf<Shape extends z.ZodType>(bytes: Buffer, shape: Shape, what: string): z.output<Shape> {
  let value: unknown;
  try {
    value = parseJson(bytes.toString());
  } catch {
    throw new PackageError(`the registry's ${what} is not JSON`);
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0] as z.core.$ZodIssue;
  throw new PackageError(`the registry's ${what} is wrong at ${quoted(path.join("."))}: ${message}`);
}
