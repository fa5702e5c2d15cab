// Parts of recorded requests that are equal, as one each in memory: a million lines name few services, routes and callers.
import type { RecordedRequest } from "./recorded-request.ts";

/** What is beyond is kept by itself. */
const maxParts = 200_000;

export class SharedParts {
  readonly #texts = new Map<string, string>();
  readonly #fields = new Map<string, RecordedRequest["fields"]>();
  readonly #decisions = new Map<string, RecordedRequest["decision"]>();

  of(request: RecordedRequest): RecordedRequest {
    const { fields, decision } = request;
    return {
      ...request,
      service: this.#text(request.service),
      method: this.#text(request.method),
      path: this.#text(request.path),
      host: this.#text(request.host),
      client: this.#text(request.client),
      query: request.query && this.#text(request.query),
      userId: request.userId && this.#text(request.userId),
      credentialId: request.credentialId && this.#text(request.credentialId),
      fields: one(this.#fields, JSON.stringify([...fields]), fields),
      decision: one(this.#decisions, JSON.stringify(decision), decision),
    };
  }

  #text(text: string): string {
    return one(this.#texts, text, text);
  }
}

function one<Part>(known: Map<string, Part>, key: string, part: Part): Part {
  const found = known.get(key);
  if (found !== undefined) return found;
  if (known.size < maxParts) known.set(key, part);
  return part;
}
