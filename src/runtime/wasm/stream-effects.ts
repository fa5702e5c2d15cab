// Carries out what a guest does to its exchange, as far as the exchange's phase still allows it.
import { isGrpcType } from "../../plugin-api/grpc-type.ts";
import type { Exchange, ExchangeResponse } from "../../plugin-api/contract.ts";
import { isFinalStatus } from "../verdict.ts";
import type { EffectParts } from "./answer.ts";
import type { Written } from "./field-rules.ts";
import type { FilterPolicy } from "./filter-policy.ts";
import { type LocalReply, localReply } from "./local-reply.ts";

/** The phase of the exchange, which decides what may still be changed. */
export type Phase = "request" | "forwarded" | "response" | "streaming";

const none: ReadonlySet<string> = new Set();
/** A host with or without a port, in lower case after normalization (RFC 3986 section 3.2). */
const authority = /^([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?$/;

function isAuthority(value: string): boolean {
  const [, , port = "0"] = authority.exec(value) ?? [undefined, undefined, "none"];
  return Number(port) <= 65_535;
}

/** Limit of all fields that a guest sets on one exchange; more than any service accepts. */
const maxFieldBytes = 65_536;
/** What each line counts in addition to its bytes. */
const lineBytes = 64;

export class StreamEffects {
  phase: Phase = "request";
  /** The guest is a new one that is told again what came before. Those effects have already been carried out. */
  isReplay = false;
  response: ExchangeResponse | undefined = undefined;
  /** The guest's answer in place of the service's. */
  reply: LocalReply | undefined = undefined;
  /** Whether the guest wants the exchange to be closed. */
  isClosed = false;
  /** Something the guest must not do: the request gets the fail mode. */
  trouble: Error | undefined = undefined;
  /** The request's body as the guest changed it. */
  requestBody: Buffer | undefined = undefined;
  /** Whether the guest said to continue, by the ABI's number of the stream. */
  readonly resumed = [false, false];
  /** Bytes of fields that the guest may still set. */
  #room = maxFieldBytes;
  readonly #policy: FilterPolicy;
  readonly #exchange: Exchange;

  constructor(policy: FilterPolicy, exchange: Exchange) {
    this.#policy = policy;
    this.#exchange = exchange;
  }

  /** Whether the guest decided about the exchange in another way than to continue. */
  get isDecided(): boolean {
    return this.reply !== undefined || this.trouble !== undefined || this.isClosed;
  }

  /** Takes all effects except bodies of responses, which GuestStream handles. */
  take(kind: string, parts: EffectParts): void {
    const [first = "", second = "", third = ""] = parts;
    if (kind === "n") this.resumed[Number(first)] = true;
    else if (kind === "x") this.isClosed = true;
    else if (kind === "r") this.#answer(parts);
    else if (kind === "b") this.requestBody = Buffer.from(second, "latin1");
    else if (kind === "S") this.#setAll(Number(first), second === "" ? [] : second.split("\0"));
    else this.#set(kind, Number(first), second, third);
  }

  #answer(parts: EffectParts): void {
    if (this.phase === "streaming") return;
    // The first reply counts.
    if (this.reply !== undefined) return;
    const isGrpc = isGrpcType(this.#exchange.request.fields.get("content-type"));
    try {
      this.reply = localReply(parts, isGrpc);
    } catch (error) {
      this.trouble = error as Error;
    }
  }

  #set(kind: string, map: number, name: string, value: string): void {
    const fields = this.#fields(map);
    if (fields === undefined || !this.#hasRoom(name.length + value.length)) return;
    if (name.startsWith(":")) this.#setPseudo(kind, map, name, value);
    else this.#written(this.#policy.fields.write(kind, fields, name, value, this.#owned(map)), name);
  }

  #setAll(map: number, flat: readonly string[]): void {
    const fields = this.#fields(map);
    if (fields === undefined || !this.#hasRoom(flat.reduce((sum, text) => sum + text.length, 0))) return;
    const plain: string[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const name = flat[i] as string;
      const value = flat[i + 1] as string;
      if (name.startsWith(":")) this.#setPseudo("s", map, name, value);
      else plain.push(name, value);
    }
    this.#written(this.#policy.fields.writeAll(fields, plain, this.#owned(map)), "one of its fields");
  }

  #hasRoom(bytes: number): boolean {
    this.#room -= bytes + lineBytes;
    if (this.#room >= 0) return true;
    this.trouble = new Error(`it sets more than ${maxFieldBytes} bytes of fields`);
    return false;
  }

  /**
   * Sets a pseudo-field. The route was chosen by the request's target, so changing the target would bypass the
   * decisions about it.
   */
  #setPseudo(kind: string, map: number, name: string, value: string): void {
    if (map === 2 && name === ":status" && this.response !== undefined) {
      const status = Number(value);
      if (kind === "d" || !/^[2-5]\d\d$/.test(value) || !isFinalStatus(status))
        this.#written("ignored", name);
      else this.response.status = status;
      return;
    }
    const { host, path, query, method, scheme, fields } = this.#exchange.request;
    const now = { ":authority": host, ":path": path + query, ":method": method, ":scheme": scheme }[name];
    if (kind === "s" && now === value) return;
    // Routes are not chosen by host, so the service may be told another host.
    if (kind === "s" && name === ":authority" && map === 0 && isAuthority(value)) {
      this.#written(this.#policy.fields.setHost(fields, value), "host");
      return;
    }
    this.trouble = new Error(`it sets ${name}, which the route was found by: no plugin can change that`);
  }

  #written(result: Written, name: string): void {
    if (result === "ignored")
      this.#policy.log.warn(`the plugin cannot set ${name}: left as it is`, this.#exchange.id);
    if (result === "refused") {
      this.trouble = new Error(`it writes ${name}, which its manifest does not ask for (needs.writeFields)`);
    }
  }

  #fields(map: number): ExchangeResponse["fields"] | undefined {
    if (map === 0) return this.phase === "request" ? this.#exchange.request.fields : undefined;
    if (map === 2) return this.phase === "response" ? this.response?.fields : undefined;
    return map === 3 ? this.response?.trailers : undefined;
  }

  /** Only request fields tell services who calls. */
  #owned(map: number): ReadonlySet<string> | undefined {
    return map === 0 ? (this.#exchange.route.ownedRequestFields ?? none) : undefined;
  }
}
