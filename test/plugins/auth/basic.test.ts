// Basic authentication with a password file (RFC 7617): which hashes are accepted, what limits guessing, and what
// browsers may do.
import assert from "node:assert/strict";
import { argon2Sync, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { BcryptThread } from "../../../plugins/auth/basic/bcrypt-thread.ts";
import { decoys, readPasswordFile as readFile } from "../../../plugins/auth/basic/password-file.ts";
import { startSidecar } from "../../support/sidecar.ts";
import {
  exchangeFor,
  makeRoute,
  makeServices,
  withKey,
  type Answer,
  type Ask,
  type Route,
} from "./harness.ts";
import type { TestServices } from "./harness.ts";

/** As cheap as is taken. */
function hashed(password: string, memory = 7_168, passes = 1): string {
  const nonce = randomBytes(16);
  const tag = argon2Sync("argon2id", {
    message: password,
    nonce,
    parallelism: 1,
    tagLength: 32,
    memory,
    passes,
  });
  const [salt, hash] = [nonce, tag].map((bytes) => bytes.toString("base64").replaceAll("=", ""));
  return `$argon2id$v=19$m=${memory},t=${passes},p=1$${salt}$${hash}`;
}

// "password": of the reference implementation's tests (phc-winner-argon2), and of passlib's documentation.
const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
const passlib = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";

// "pass word", by Debian's argon2 as the README has it.
const byCommand =
  "$argon2id$v=19$m=19456,t=2,p=1$Njc0OWJjZGFmYzQzNTFiYzBmNzVhMDUxZTAxYjJlYTY$IHWMrgiLnI4iloTF6b7kKKoUYRp6SbU7ZmNxf7XnCQ0";

// By crypt(3) of Debian's libxcrypt: "pä:ss wörd", 72 times "x", "secret"; and crypt_blowfish's own test of "U*U".
const bcrypts = {
  zoë: "$2y$05$abcdefghijklmnopqrstuu23EJfcCrZMhI9x8qqvxqUXQM1rjKkyS",
  long: "$2b$06$abcdefghijklmnopqrstuueHLWckpI7Ut91D6aWthlKy4VKsT9yUG",
  old: "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
  slow: "$2b$08$abcdefghijklmnopqrstuuKxCcvB7KZ7.BpDoK0bh6qM7Dl1/xiJa",
};

const readPasswordFile = (text: string) => readFile(text, () => Promise.reject(new Error("not asked")));

const users = ["# who may call", `alice:${hashed("s3cret")}`, `zoë:${hashed("pä:ss")}\r`, ""].join("\n");

let services: TestServices;
let route: Route;
const optionsFor = (basic: object = {}, more: object = {}): object => ({
  apiKeys: false,
  guessing: false,
  basic: { users: "SECRET_USERS", scopes: ["read"], ...basic },
  ...more,
});

before(async () => {
  services = await makeServices({ secrets: { SECRET_USERS: users } });
  route = await makeRoute(optionsFor(), services);
});
after(async () => {
  await route.close();
  services.close();
});

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
const withPassword = (user: string, password: string, ...more: string[]): Ask => ({
  fields: ["Authorization", basic(user, password), ...more],
});
const ask = (user: string, password: string, on = route): Promise<Answer> =>
  on.ask(withPassword(user, password));

test("a user is known by argon2id or scrypt, in UTF-8, and the password does not go on to the service", async () => {
  const answer = await ask("alice", "s3cret");
  assert.equal(answer.status, 200, String(answer.because));
  const { userId, scopes, method } = answer.identity ?? {};
  assert.deepEqual([userId, scopes, method], ["alice", ["read"], "basic"]);
  assert.equal(answer.fields.size, 0);
  assert.equal((await ask("zoë".normalize("NFD"), "pä:ss".normalize("NFD"))).identity?.userId, "zoë");
  const vectors = { SECRET_USERS: `reference:${reference}\npasslib:${passlib}\nmade:${byCommand}` };
  const published = await makeRoute(optionsFor(), await makeServices({ secrets: vectors }));
  for (const user of ["reference", "passlib"])
    assert.equal((await ask(user, "password", published)).status, 200, user);
  assert.equal((await ask("made", "pass word", published)).status, 200);
  const special = await makeRoute(
    optionsFor({ identities: [{ user: "alice", scopes: ["write"], roles: ["admin"] }] }),
    services,
  );
  const { scopes: own, roles } = (await ask("alice", "s3cret", special)).identity ?? {};
  assert.deepEqual([own, roles], [["write"], ["admin"]]);
});

test("a user is known by bcrypt too, as htpasswd writes it, up to the 72 bytes that it looks at", async () => {
  const text = Object.entries(bcrypts).map(([user, hash]) => `${user}:${hash}`);
  const own = await makeServices({ secrets: { SECRET_USERS: text.join("\n") } });
  const byBcrypt = await makeRoute(optionsFor(), own);
  const status = async (user: string, password: string): Promise<number> =>
    (await ask(user, password, byBcrypt)).status;
  assert.equal(await status("zoë", "pä:ss wörd"), 200);
  assert.equal(await status("old", "U*U"), 200);
  assert.equal(await status("long", "x".repeat(72)), 200);
  assert.equal(await status("long", "x".repeat(73)), 401, "whose first 72 bytes are right");
  for (const user of ["zoë", "old", "nobody"]) assert.equal(await status(user, "guess"), 401, user);
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  count();
  assert.equal(await status("slow", "secret"), 200);
  isOver = true;
  assert.ok(turns > 5, `the loop went on meanwhile: ${turns}`);
  const log = await own.log();
  assert.match(log, /"users":4,"msg":"hashes by bcrypt with a cost below 10 are guessed quickly/);
  for (const secret of [...Object.values(bcrypts), "pä:ss", "U*U", "xxx"]) assert.ok(!log.includes(secret));
  await byBcrypt.close();
});

test("a flood of guesses at users by bcrypt keeps nobody out", async () => {
  const own = await makeServices({ secrets: { SECRET_USERS: `slow:${bcrypts.slow}\nold:${bcrypts.old}` } });
  const byBcrypt = await makeRoute(optionsFor({}, { guessing: {} }), own);
  const flood = Array.from({ length: 40 }, (_, i) => ask("slow", `guess ${i}`, byBcrypt));
  const known = await byBcrypt.ask({ ...withPassword("old", "U*U"), address: "192.0.2.9" });
  assert.equal(known.status, 200);
  const statuses = (await Promise.all(flood)).map(({ status }) => status);
  assert.deepEqual(new Set(statuses), new Set([401, 503]), "guesses that are too many wait for nothing");
  await byBcrypt.close();
});

test("the thread for bcrypt is replaced where a check ends it or does not end, and what waits is bounded", async () => {
  const program = `const { parentPort } = require("node:worker_threads");
    parentPort.on("message", ({ password }) => {
      if (password === "never") for (;;);
      if (password === "fail") throw new Error("broken");
      parentPort.postMessage(password === "good");
    });`;
  const thread = new BcryptThread({ program: () => program, limitMs: 300, idleMs: 1 });
  const check = (password: string) => thread.matches({ password, hash: "" });
  const all = ["good", "fail", "good", "never", "bad"].map(check);
  const results = await Promise.allSettled(all);
  assert.deepEqual(
    results.map((each) => (each.status === "fulfilled" ? each.value : (each.reason as Error).message)),
    [true, "broken", true, "the thread for bcrypt took longer than 300 ms", false],
  );
  const many = Array.from({ length: 20 }, () => check("good"));
  assert.equal((await Promise.all(many)).filter((each) => each === undefined).length, 4);
  const closed = check("good");
  thread.close();
  await assert.rejects(closed, /was ended/);
  const missing = new BcryptThread({ program: new URL("missing.ts", import.meta.url) });
  await assert.rejects(missing.matches({ password: "x", hash: "" }), /missing\.ts/);
  missing.close();
});

test("what is wrong is 401 with a challenge, whichever part it is", async () => {
  for (const [user, password] of [
    ["alice", "wrong"],
    ["alice", ""],
    ["nobody", "s3cret"],
    ["ALICE", "s3cret"],
  ] as const) {
    const answer = await ask(user, password);
    assert.deepEqual([answer.status, answer.because], [401, "basic: wrong user or password"]);
    assert.deepEqual(answer.answerFields.getAll("www-authenticate"), [
      'Basic realm="outrigger", charset="UTF-8"',
    ]);
  }
  const encoded = basic("alice", "s3cret").slice(6);
  const odd = [
    "Basic",
    "Basic !",
    `Basic ${encoded} x`,
    `Basic ${encoded}, Bearer x`,
    `Bearer x, Basic ${encoded}`,
  ];
  odd.push(
    `Basic ${Buffer.from([0x61, 0x3a, 0xff]).toString("base64")}`,
    `Basic ${Buffer.from("a:b\0").toString("base64")}`,
  );
  odd.push(basic("", "x"), `Basic ${Buffer.from("alice").toString("base64")}`, `Basic ${"QQ".repeat(2_000)}`);
  for (const value of odd)
    assert.equal((await route.ask({ fields: ["Authorization", value] })).status, 401, value);
  const left = await makeRoute({ required: false }, services);
  assert.equal(
    (await left.ask(withPassword("alice", "x"))).fields.size,
    1,
    "without the option it is the service's",
  );
});

test("other hashes, weak or costly ones, and lines that are none are refused by their number alone", async () => {
  const weak: [string, RegExp][] = [
    [bcrypts.zoë.replace("$05$", "$04$"), /bcrypt is taken with a cost from 5 to 12/],
    [bcrypts.zoë.replace("$05$", "$13$"), /from 5 to 12/],
    [bcrypts.zoë.replace("$2y$", "$2x$"), /cannot be read/],
    [bcrypts.zoë.slice(0, -1), /cannot be read/],
    ["$apr1$abc$def", /MD5/],
    ["{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", /SHA-1/],
    ["$5$rounds=5000$a$b", /SHA-2/],
    ["rl0uXyz", /no hash/],
    ["plaintext", /no hash/],
    [hashed("x").replace("argon2id", "argon2i"), /argon2i,/],
    [hashed("x").replace("m=7168", "m=4096"), /at least 7168/],
    [hashed("x").replace("m=7168", "m=999999"), /up to/],
    [hashed("x").replace("t=1", "t=99"), /up to/],
    [hashed("x").replace("v=19", "v=16"), /cannot be read/],
    [passlib.replace("ln=16", "ln=10"), /at least 14/],
    [passlib.replace("ln=16", "ln=30"), /up to/],
  ];
  for (const [hash, because] of weak) {
    const own = await makeServices({ secrets: { SECRET_USERS: `alice:${hashed("x")}\nbob:${hash}` } });
    await assert.rejects(makeRoute(optionsFor(), own), (error: Error) => {
      assert.match(error.message, because);
      assert.match(error.message, /^basic\.users: OUTRIGGER_SECRET_USERS: line 2: /);
      return !error.message.includes(hash);
    });
  }
  const lines: [string, RegExp][] = [
    ["", /holds no user/],
    ["alice", /line 1: is not name:hash/],
    [`:${hashed("x")}`, /line 1: is not/],
    [`a:${hashed("x")}\na:${hashed("y")}`, /line 2: the user is on line 1 already/],
  ];
  for (const [text, because] of lines) assert.throws(() => readPasswordFile(text), because);
  const unset = await makeServices();
  await assert.rejects(makeRoute(optionsFor(), unset), /OUTRIGGER_SECRET_USERS is not set/);
  await assert.rejects(makeRoute(optionsFor({ identities: [{ user: "eve" }] }), services), /eve is no user/);
});

test("nothing of a line is told, whatever it is", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 6, unit: "grapheme-ascii" }), (hash) => {
      try {
        readPasswordFile(`alice:${hash}`);
        return false;
      } catch (error) {
        const { message } = error as Error;
        return message.startsWith("line 1: ") && !message.includes(hash.trim() || "\0");
      }
    }),
    { numRuns: 50 },
  );
});

describe("guessing", () => {
  const guarded = (more: object = {}) => makeRoute(optionsFor(more, { guessing: { failures: 3 } }), services);

  test("at one user is ended for all addresses, also with the right password, but for who was known before", async () => {
    const own = await guarded({ cacheSeconds: 1 });
    const from = (address: string, password: string, user = "alice"): Promise<Answer> =>
      own.ask({ ...withPassword(user, password), address });
    assert.equal((await from("192.0.2.1", "pä:ss", "zoë")).status, 200);
    for (let i = 0; i < 3; i += 1) assert.equal((await from(`198.51.100.${i}`, `guess ${i}`)).status, 401);
    assert.equal((await from("203.0.113.1", "s3cret")).status, 429, "no guess is looked at any more");
    for (let i = 0; i < 3; i += 1) await from(`198.51.100.${i}`, `guess ${i}`, "zoë");
    services.clock.forward(1_500);
    assert.equal((await from("203.0.113.1", "pä:ss", "zoë")).status, 200, "the own user is not shut out");
    await own.close();
  });

  test("costs what a right password does, also at a name that nobody has, and no more at once than two", async () => {
    const dear = `alice:${hashed("x", 16_384, 2)}\nbob:${hashed("y", 16_384, 2)}`;
    const other = await makeServices({ secrets: { SECRET_USERS: dear } });
    const own = await makeRoute(optionsFor({ cacheSeconds: 0 }), other);
    const timed = async (user: string): Promise<number> => {
      const start = performance.now();
      assert.equal((await ask(user, "guess", own)).status, 401);
      return performance.now() - start;
    };
    const [known, unknown] = [await timed("bob"), await timed("nobody")];
    assert.ok(unknown > known / 4, `${unknown} ms for nobody, ${known} ms for bob`);
    const many = await Promise.all(Array.from({ length: 80 }, (_, i) => ask("alice", `guess ${i}`, own)));
    assert.ok(
      many.some(({ status }) => status === 503),
      "the rest is turned away",
    );
    assert.ok(many.some(({ status }) => status === 401));
  });

  test("at names that nobody has costs what users' passwords do, in their shares, the same each time", () => {
    const file = `alice:${hashed("x")}\nbob:${hashed("y", 32_768, 2)}`;
    const hashes = [...readPasswordFile(file).values()];
    const places = (): number[] =>
      Array.from({ length: 64 }, (_, i) => hashes.indexOf(decoys(hashes, file)(`user ${i}`)));
    assert.deepEqual(places(), places());
    assert.deepEqual(new Set(places()), new Set([0, 1]));
  });

  test("with one old password, again and again, shuts out nobody else of that name", async () => {
    const own = await guarded();
    const from = async (address: string, password: string): Promise<number> =>
      (await own.ask({ ...withPassword("alice", password), address })).status;
    for (let i = 0; i < 6; i += 1) assert.equal(await from(`198.51.100.${i}`, "old"), 401);
    assert.equal(await from("203.0.113.1", "s3cret"), 200);
    await own.close();
  });

  test("a password that was checked is not checked again for a while", async () => {
    const own = await guarded();
    const first = await own.ask(withPassword("alice", "s3cret"));
    assert.equal(first.status, 200);
    const { user } = process.cpuUsage();
    for (let i = 0; i < 200; i += 1) assert.equal((await ask("alice", "s3cret", own)).status, 200);
    const cpuMs = (process.cpuUsage().user - user) / 1_000;
    assert.ok(cpuMs < 1_000, `${cpuMs} ms, where 200 checks take seconds`);
    await own.close();
  });
});

test("pages of other sites change nothing with a password that the browser sends along", async () => {
  const asked = (method: string, ...fields: string[]): Promise<Answer> =>
    route.ask({ ...withPassword("alice", "s3cret", ...fields), method });
  assert.equal((await asked("POST")).status, 200, "a program");
  assert.equal((await asked("POST", "Origin", "http://api.example")).status, 200);
  assert.equal((await asked("POST", "Origin", "https://evil.example")).status, 403);
  assert.equal((await asked("POST", "Sec-Fetch-Site", "cross-site")).status, 403);
  assert.equal((await asked("GET", "Sec-Fetch-Site", "cross-site")).status, 200, "links work");
});

test("what goes on is judged by the users then in force", async () => {
  const status = async ({ hooks }: Route): Promise<number> => {
    const verdict = await hooks.recheck?.(exchangeFor(withPassword("alice", "s3cret"), hooks));
    return verdict?.action === "reject" ? verdict.error.kind.status : 200;
  };
  assert.equal(await status(route), 200);
  const changed = await makeServices({ secrets: { SECRET_USERS: `alice:${hashed("new")}` } });
  assert.equal(await status(await makeRoute(optionsFor(), changed)), 401);
});

test("on the wire, nothing of it is in the log, and an API key beside it must be good as well", async (context) => {
  const sidecar = await startSidecar({
    policy: {
      plugins: ["logging", "auth", "transform"],
      pluginConfig: { auth: { ...optionsFor(), apiKeys: {} }, logging: { headers: ["authorization"] } },
    },
    upstream: (request, response) => response.end(JSON.stringify(request.headers)),
    env: { OUTRIGGER_SECRET_USERS: users },
  });
  context.after(() => sidecar.stop());
  const get = async (headers: Record<string, string>): Promise<[number, string]> => {
    const response = await fetch(sidecar.url, { headers });
    return [response.status, await response.text()];
  };
  const authorization = basic("alice", "s3cret");
  const [status, body] = await get({ authorization });
  assert.equal(status, 200, body);
  assert.match(body, /"x-user-id":"alice"/);
  assert.doesNotMatch(body, /authorization/);
  assert.equal((await get({ authorization: basic("alice", "n0t-it") }))[0], 401);
  const [name, key] = withKey("bad").fields ?? [];
  assert.notEqual((await get({ authorization, [name ?? ""]: key ?? "" }))[0], 200);
  const log = JSON.stringify(sidecar.lines);
  for (const text of ["s3cret", "n0t-it", authorization.slice(6)]) assert.ok(!log.includes(text));
});
