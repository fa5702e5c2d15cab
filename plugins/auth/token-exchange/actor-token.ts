// Provides the actor token, with which the sidecar says who acts for a caller (RFC 8693 section 1.1): a secret, or a
// token that the client gets with its own credentials (RFC 6749 section 4.4). All callers share it while it is good.
import { z } from "zod";
import type { Services } from "../../../src/plugin-api/contract.ts";
import { errorCodeOf } from "../issuers/json-answer.ts";
import { tokenTypes, type TokenExchangeOptions } from "./options.ts";
import { endOf, expiresIn, faultOf, oneToken, usedMs } from "./token-answer.ts";
import { askTokenEndpoint } from "./token-endpoint.ts";

/** After the server refused a token, the least time between two requests for a new one. */
const renewalMs = 10_000;

const answerShape = z.looseObject({
  access_token: oneToken,
  token_type: z.string().regex(/^bearer$/i),
  expires_in: expiresIn,
});

type ActorOptions = NonNullable<TokenExchangeOptions["actor"]>;

interface Kept {
  readonly token: string;
  /** Epoch milliseconds. */
  readonly madeMs: number;
  readonly untilMs: number;
}

export class ActorToken {
  readonly #options: TokenExchangeOptions;
  readonly #actor: ActorOptions;
  readonly #services: Services;
  #kept: Kept | undefined;
  #running: Promise<string> | undefined;

  /** @throws Error when the token is a secret that is not set, or not bound to the server's host */
  constructor(options: TokenExchangeOptions, actor: ActorOptions, services: Services) {
    this.#options = options;
    this.#actor = actor;
    this.#services = services;
    const { issuer, tokenEndpoint } = options;
    if (actor.token === undefined) return;
    try {
      services.secrets.sentTo(actor.token, issuer ?? (tokenEndpoint as string));
    } catch (error) {
      throw new Error(`tokenExchange.actor.token: ${(error as Error).message}`, { cause: error });
    }
  }

  /** @returns the actor's parameters of an exchange request (section 2.1). Rejects when no token can be obtained. */
  async parameters(url: string): Promise<Record<string, string>> {
    const { token, tokenType } = this.#actor;
    return {
      actor_token: token === undefined ? await this.#own(url) : this.#services.secrets.sentTo(token, url),
      actor_token_type: tokenTypes[token === undefined ? "access_token" : tokenType],
    };
  }

  /**
   * Drops a token after the server refused it, or the caller's: the server does not say which (section 2.2.2).
   * @returns whether another token can be obtained
   */
  drop(token: string | undefined): boolean {
    if (this.#actor.token !== undefined) return false;
    // Another exchange has already got a newer token, or is about to.
    if (this.#kept?.token !== token) return true;
    if (this.#services.clock.now() - (this.#kept?.madeMs ?? 0) < renewalMs) return false;
    this.#kept = undefined;
    return true;
  }

  /**
   * @throws Error when the token is a secret with an `exp` that is past: then the refusal says nothing about the caller
   */
  checkEnd(nowMs: number): void {
    const { token: name } = this.#actor;
    const token = name === undefined ? undefined : this.#services.secrets.get(name);
    if (token !== undefined && endOf(token) <= nowMs)
      throw new Error(`tokenExchange.actor.token: ${name} has ended (exp): put a newer one in its place`);
  }

  #own(url: string): Promise<string> | string {
    if (this.#kept !== undefined && this.#services.clock.now() < this.#kept.untilMs) return this.#kept.token;
    this.#running ??= this.#ask(url).finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #ask(url: string): Promise<string> {
    const { scopes, resource } = this.#actor;
    const parameters = {
      grant_type: "client_credentials",
      resource,
      ...(scopes.length > 0 && { scope: scopes.join(" ") }),
    };
    const { status, value } = await askTokenEndpoint(this.#options, this.#services, url, parameters);
    if (status !== 200)
      throw new Error(
        `the token endpoint gave no actor token: ${status} (${errorCodeOf(value) ?? "no error code"})`,
      );
    const parsed = answerShape.safeParse(value);
    if (!parsed.success)
      throw new Error(`the token endpoint's answer for the actor: ${faultOf(parsed.error)}`);
    const { access_token: token, expires_in: seconds } = parsed.data;
    const madeMs = this.#services.clock.now();
    this.#kept = { token, madeMs, untilMs: madeMs + usedMs(token, seconds, madeMs) };
    return token;
  }
}
