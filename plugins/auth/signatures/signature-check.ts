// Authenticates signed requests (RFC 9421 section 3.2). There must be one signature by a key of the policy. It must
// cover all that the policy wants and the body that came, be recent, and have a nonce that was not seen before.
import { parseDictionary, type Dictionary, type InnerList, type Item } from "structured-headers";
import type { Exchange, ExchangeRequest, Services } from "../../../src/plugin-api/contract.ts";
import { refused, unavailable, type AuthResult, type Refused } from "../auth-result.ts";
import type { Replays } from "../replays.ts";
import type { Guessing, SchemeCheck } from "../scheme-check.ts";
import { Semaphore } from "../semaphore.ts";
import { digestFault } from "./content-digest.ts";
import type { SignatureOptions } from "./options.ts";
import { BadComponent, signatureBase } from "./signature-base.ts";
import { SigningKey } from "./signing-key.ts";
import { structuredFields, type StructuredFields } from "./structured-fields.ts";

const maxVerifies = 32;
const doubtfulVerifies = 2;
const maxWaiting = 1_024;
const nonceText = /^[\x20-\x7e]{1,256}$/;

const bad = (what: string, keyId?: string): Refused => refused("signature", `signature: ${what}`, keyId);
const malformed = bad("malformed Signature or Signature-Input");
const tooMany = unavailable("signature", "signature: too many to check", "overloaded");
const cannotTell = unavailable(
  "signature",
  "signature: redis is out of reach, so its nonce may have been seen before",
);
const tooManyKept = unavailable("signature", "signature: more nonces than can be remembered", "overloaded");

/** Whether the signature covers the whole of a field, in any of its encodings. */
function isWhole(parameters: Item[1]): boolean {
  return parameters.size === 0 || (parameters.size === 1 && (parameters.has("bs") || parameters.has("sf")));
}

interface Shown {
  readonly key: SigningKey;
  readonly keyId: string;
  readonly input: InnerList;
  readonly signature: Buffer;
}

export class SignatureCheck implements SchemeCheck {
  readonly #options: SignatureOptions;
  readonly #services: Services;
  readonly #replays: Replays;
  readonly #keys: ReadonlyMap<string, SigningKey>;
  readonly #structured: StructuredFields;
  readonly #semaphore = new Semaphore(maxVerifies, maxWaiting);
  readonly #doubtful = new Semaphore(doubtfulVerifies, maxWaiting);

  /** @throws Error when a secret that the options name is not set, or too short */
  constructor(options: SignatureOptions, services: Services, replays: Replays) {
    this.#options = options;
    this.#services = services;
    this.#replays = replays;
    this.#structured = structuredFields(options.structuredFields);
    this.#keys = new Map(options.keys.map((key) => [key.keyId, new SigningKey(key, services)]));
  }

  close(): void {}

  isShown({ fields }: ExchangeRequest): boolean {
    return fields.has("signature") || fields.has("signature-input");
  }

  async check(exchange: Exchange, { doubtful }: Guessing): Promise<AuthResult> {
    const { request } = exchange;
    const shown = this.#read(request);
    if ("kind" in shown) return shown;
    const fault = this.#timeFault(shown) ?? this.#coverFault(shown, request);
    if (fault !== undefined) return fault;
    const verified = await this.#verify(request, shown, doubtful ? this.#doubtful : this.#semaphore);
    if (verified.kind !== "accepted") return verified;
    // Only holders of a key get here, and can have nonces stored or bodies read. The nonce comes first: otherwise a
    // replay with a slow body would be checked after the nonce is forgotten.
    return (await this.#replayFault(shown)) ?? (await this.#bodyFault(exchange, shown)) ?? verified;
  }

  async recheck({ request }: Exchange): Promise<AuthResult> {
    const shown = this.#read(request);
    if ("kind" in shown) return shown;
    return this.#coverFault(shown, request) ?? (await this.#verify(request, shown, this.#semaphore));
  }

  #read({ fields }: ExchangeRequest): Shown | Refused {
    let inputs: Dictionary;
    let signatures: Dictionary;
    try {
      inputs = parseDictionary(fields.get("signature-input") ?? "");
      signatures = parseDictionary(fields.get("signature") ?? "");
    } catch {
      return malformed;
    }
    const { tag } = this.#options;
    const ours = [...inputs].filter(
      ([, [, parameters]]) => tag === undefined || parameters.get("tag") === tag,
    );
    const [found] = ours;
    if (found === undefined) return bad(tag === undefined ? "none" : "none with the tag");
    if (ours.length > 1) return bad("several");
    const [label, input] = found;
    const signature = signatures.get(label)?.[0];
    if (!Array.isArray(input[0]) || !(signature instanceof ArrayBuffer)) return malformed;
    const keyId = input[1].get("keyid");
    const key = typeof keyId === "string" ? this.#keys.get(keyId) : undefined;
    if (key === undefined || typeof keyId !== "string") return bad("unknown keyid");
    const algorithm = input[1].get("alg");
    // Section 3.3.7: the message must not choose the algorithm.
    if (algorithm !== undefined && algorithm !== key.algorithm) return bad("alg is not the key's", keyId);
    return { key, keyId, input: input as InnerList, signature: Buffer.from(signature) };
  }

  #timeFault({ input: [, parameters], keyId }: Shown): Refused | undefined {
    const { maxAgeSeconds, clockToleranceSeconds: leeway, nonce: wanted } = this.#options;
    const now = this.#services.clock.now() / 1000;
    const [created, expires, nonce] = ["created", "expires", "nonce"].map((name) => parameters.get(name));
    if (!Number.isInteger(created)) return bad("created", keyId);
    if ((created as number) > now + leeway) return bad("created in the future", keyId);
    if ((created as number) + maxAgeSeconds + leeway < now) return bad("too old", keyId);
    if (expires !== undefined && !(Number.isInteger(expires) && (expires as number) + leeway > now))
      return bad("expired", keyId);
    if (nonce === undefined ? wanted === "required" : typeof nonce !== "string" || !nonceText.test(nonce))
      return bad("nonce", keyId);
    return undefined;
  }

  #coverFault({ input: [items], keyId }: Shown, { hasBody }: ExchangeRequest): Refused | undefined {
    const { components, contentDigest } = this.#options;
    const covered = new Set(items.filter(([, parameters]) => isWhole(parameters)).map(([name]) => name));
    const wanted = components.length > 0 ? components : ["@method", "@authority"];
    const lacking = wanted.find((name) => !covered.has(name));
    if (lacking !== undefined) return bad(`does not cover ${lacking}`, keyId);
    const hasTarget = covered.has("@target-uri") || (covered.has("@path") && covered.has("@query"));
    if (components.length === 0 && !hasTarget) return bad("does not cover @target-uri", keyId);
    if (contentDigest === "required" && hasBody && !covered.has("content-digest"))
      return bad("does not cover content-digest", keyId);
    return undefined;
  }

  async #verify(request: ExchangeRequest, shown: Shown, semaphore: Semaphore): Promise<AuthResult> {
    const { key, keyId, input, signature } = shown;
    const holder = key.holder(this.#services.clock.now());
    if (holder.kind === "refused") return holder;
    let base: string;
    try {
      base = signatureBase(request, input, this.#structured);
    } catch (error) {
      if (error instanceof BadComponent) return bad(`component ${error.message}`, keyId);
      throw error;
    }
    const good = await semaphore.run(async () => await key.verify(base, signature));
    if (good === undefined) return tooMany;
    return good ? holder : key.badSignature;
  }

  /** Rejects with `payload_too_large`. */
  async #bodyFault(exchange: Exchange, { input: [items], keyId }: Shown): Promise<Refused | undefined> {
    if (!items.some(([name]) => name === "content-digest")) return undefined;
    const { request } = exchange;
    const body = request.hasBody ? await exchange.readBody(this.#options.maxBodyBytes) : Buffer.alloc(0);
    const fault = digestFault(request.fields.get("content-digest") ?? "", body);
    return fault === undefined ? undefined : bad(`content-digest: ${fault}`, keyId);
  }

  async #replayFault({ input: [, parameters], keyId }: Shown): Promise<AuthResult | undefined> {
    const nonce = parameters.get("nonce");
    if (typeof nonce !== "string") return undefined;
    const { maxAgeSeconds, clockToleranceSeconds, onStoreError } = this.#options;
    const lifeMs = (maxAgeSeconds + 2 * clockToleranceSeconds) * 1000;
    const seen = await this.#replays.show(["signature", keyId], nonce, lifeMs, onStoreError);
    if (seen === "again") return bad("seen before (nonce)", keyId);
    if (seen === "unknown") return cannotTell;
    return seen === "full" ? tooManyKept : undefined;
  }
}
