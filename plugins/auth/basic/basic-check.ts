// Checks `Authorization: Basic` (RFC 7617). A check costs tens of milliseconds and megabytes on purpose. So only few
// run at once, on other threads, and results are cached for a while under a keyed hash.
import { isUtf8 } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import {
  boundedCache,
  type Exchange,
  type ExchangeRequest,
  type Services,
} from "../../../src/plugin-api/contract.ts";
import {
  accepted,
  refused,
  unavailable,
  type Accepted,
  type AuthResult,
  type MaybeAuthResult,
  type Refused,
} from "../auth-result.ts";
import { clientNetwork } from "../client-network.ts";
import type { Guessing, SchemeCheck } from "../scheme-check.ts";
import { Semaphore } from "../semaphore.ts";
import type { BasicOptions } from "./options.ts";
import { decoys, readPasswordFile } from "./password-file.ts";
import type { CheckBcrypt, PasswordHash } from "./password-hash.ts";

/** libuv's thread pool has four threads, which file access and DNS need too, and each check takes up to 128 MB. */
const maxChecks = 2;
const maxWaiting = 64;
/** Waiting checks from one client network. */
const maxWaitingOfOne = 16;
const maxRemembered = 4_096;
const maxLength = 2_048;
/** No user has a longer name (password-file.ts), and failed guesses are counted by name. */
const maxNameLength = 512;

const shownText = /^basic[ \t]+([A-Za-z0-9+/]{2,}={0,2})[ \t]*$/i;
const anyBasic = /^basic(?:[ \t]|$)/i;
/** RFC 7617 section 2: no control characters in name or password. */
const plainText = /^\P{Cc}*$/u;

const malformed = refused("basic", "basic: malformed");
/** Does not count as another guess at the user: a program with an old password must not lock out that user. */
const wrongAgain = refused("basic", "basic: wrong user or password, as a moment ago");
const tooMany = unavailable("basic", "basic: too many passwords to check", "overloaded");
const noMemory = unavailable("basic", "basic: the password cannot be checked now", "overloaded");

interface Shown {
  readonly user: string;
  readonly password: string;
  /** Keyed hash of name and password. Its key never leaves this process. */
  readonly digest: string;
}
/** How a check waits for its turn. */
interface Turn {
  readonly who: string;
  /** Whether there were so many wrong guesses meanwhile that this one is not checked any more. */
  isOver(): boolean;
}
interface Checked {
  readonly result: Accepted;
  readonly untilMono: number;
}

const never: Guessing = { doubtful: false, waitSeconds: () => 0 };

export class BasicCheck implements SchemeCheck {
  readonly #services: Services;
  readonly #cacheMs: number;
  readonly #users: ReadonlyMap<string, PasswordHash>;
  /** The hash to check with when no user has that name. */
  readonly #decoyFor: (user: string) => PasswordHash;
  readonly #identities: ReadonlyMap<string, Accepted>;
  readonly #key = randomBytes(32);
  /** Good passwords. An expired entry still shows that the password was good once, so it is not a guess. */
  readonly #good = boundedCache<Checked>(maxRemembered);
  /** Wrong passwords, each with the time until which it is remembered (monotonic ms). */
  readonly #bad = boundedCache<number>(maxRemembered);
  readonly #running = new Map<string, Promise<AuthResult>>();
  readonly #semaphore = new Semaphore(maxChecks, maxWaiting, maxWaitingOfOne);

  /**
   * @throws Error when the secret is not set, has a line that cannot be used, or lacks a user of `identities`. Quotes
   * no hash.
   */
  constructor(options: BasicOptions, services: Services, checkBcrypt: CheckBcrypt) {
    this.#services = services;
    this.#cacheMs = options.cacheSeconds * 1000;
    const text = services.secrets.get(options.users);
    const where = `basic.users: OUTRIGGER_${options.users}`;
    if (text === undefined) throw new Error(`${where} is not set`);
    try {
      this.#users = readPasswordFile(text, checkBcrypt);
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
    }
    const weak = [...this.#users.values()].filter(({ isWeak }) => isWeak).length;
    if (weak > 0)
      services.logger.warn(
        { secret: options.users, users: weak },
        "hashes by bcrypt with a cost below 10 are guessed quickly by whoever gets the file: make them anew, as by htpasswd -B -C 10",
      );
    this.#decoyFor = decoys([...this.#users.values()], text);
    const special = new Map(options.identities.map((each) => [each.user.normalize("NFC"), each]));
    const stranger = [...special.keys()].find((user) => !this.#users.has(user));
    if (stranger !== undefined)
      throw new Error(`basic.identities: ${stranger} is no user of OUTRIGGER_${options.users}`);
    this.#identities = new Map(
      [...this.#users.keys()].map((userId) => {
        const { plan, scopes, roles, claims } = special.get(userId) ?? options;
        const who = { userId, plan, scopes, roles, claims, method: "basic", credentialId: userId };
        return [userId, accepted(who)];
      }),
    );
  }

  close(): void {}

  isShown({ fields }: ExchangeRequest): boolean {
    return anyBasic.test(fields.get("authorization") ?? "");
  }

  check({ request, client }: Exchange, guessing: Guessing): MaybeAuthResult {
    const shown = this.#read(request);
    if (shown === undefined) return malformed;
    const now = this.#services.clock.mono();
    const good = this.#good.get(shown.digest);
    if (good !== undefined && now < good.untilMono) return good.result;
    const bad = this.#bad.get(shown.digest);
    if (bad !== undefined && now < bad) return wrongAgain;
    // An expired entry is still right: when the file changes, a new BasicCheck is made. A flood of guesses must not
    // keep this user out.
    if (good !== undefined && this.#semaphore.isFull) return good.result;
    const wrong = refused("basic", "basic: wrong user or password", shown.user);
    // Too many wrong guesses from this address or at this name. A password that was good before is still checked.
    if (good === undefined && (guessing.doubtful || guessing.waitSeconds(shown.user) > 0)) return wrong;
    const running = this.#running.get(shown.digest);
    if (running !== undefined) return running;
    const isKnown = good !== undefined;
    const turn: Turn = {
      who: clientNetwork(client.address),
      isOver: () => !isKnown && guessing.waitSeconds(shown.user) > 0,
    };
    const look = this.#verify(shown, wrong, turn).finally(() => this.#running.delete(shown.digest));
    this.#running.set(shown.digest, look);
    return look;
  }

  recheck(exchange: Exchange): MaybeAuthResult {
    return this.check(exchange, never);
  }

  #read({ fields }: ExchangeRequest): Shown | undefined {
    const value = fields.get("authorization") ?? "";
    const [, encoded] = value.length > maxLength ? [] : (shownText.exec(value) ?? []);
    if (encoded === undefined) return undefined;
    const bytes = Buffer.from(encoded, "base64");
    const text = isUtf8(bytes) ? bytes.toString("utf8").normalize("NFC") : "";
    const colon = text.indexOf(":");
    if (colon < 1 || colon > maxNameLength || !plainText.test(text)) return undefined;
    const digest = createHmac("sha256", this.#key).update(text).digest("base64");
    return { user: text.slice(0, colon), password: text.slice(colon + 1), digest };
  }

  /** Never rejects. */
  async #verify({ user, password, digest }: Shown, wrong: Refused, turn: Turn): Promise<AuthResult> {
    const hash = this.#users.get(user) ?? this.#decoyFor(user);
    let matches: boolean | "over" | undefined;
    try {
      // Many simultaneous guesses get past the first test together. While most of them wait, the first ones are
      // counted.
      const look = async () => (turn.isOver() ? "over" : await hash.matches(password));
      matches = await this.#semaphore.run(look, turn.who);
    } catch (error) {
      this.#services.logger.error({ err: error }, "a password cannot be checked");
      return noMemory;
    }
    if (matches === undefined) return tooMany;
    if (matches === "over") return wrong;
    const found = matches ? this.#identities.get(user) : undefined;
    const untilMono = this.#services.clock.mono() + this.#cacheMs;
    if (found === undefined) this.#bad.set(digest, untilMono);
    else this.#good.set(digest, { result: found, untilMono });
    return found ?? wrong;
  }
}
