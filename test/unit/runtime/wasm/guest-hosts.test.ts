// Guests without a sidecar, in every host of guests: their calls, their end, and what stops them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { type Guest, GuestFailure, type GuestHost, hooks } from "../../../../src/runtime/wasm/guest-host.ts";
import { isolateHost } from "../../../../src/runtime/wasm/isolate-host.ts";
import { checkModule } from "../../../../src/runtime/wasm/module-check.ts";
import { importNames } from "../../../../src/runtime/wasm/shim-text.ts";
import { threadHost } from "../../../../src/runtime/wasm/thread-host.ts";
import { assemblyGuest, cGuest, scriptGuest } from "../../../support/wasm/guests.ts";

const request = "example.com\0/a\0GET\0http\x01user-agent\0curl";
const begin = async (guest: Guest, context: number, root = 1): Promise<unknown> =>
  guest.call(hooks.request, context, root * 8_192 + 5 * 2 + 1, request, "");

const hosts: Readonly<Record<string, () => GuestHost>> = {
  isolate: isolateHost,
  thread: threadHost,
};

for (const [name, hostOf] of Object.entries(hosts)) {
  const load = async (bytes: Buffer, timeMs = 2_000, startMs = 5_000): Promise<[Guest, unknown]> => {
    const module = checkModule(bytes, importNames(), 8);
    const facts = {
      abi: module.abi,
      vmConfiguration: "",
      properties: {},
      clusters: [],
      hosts: [],
      environment: [],
      logLevel: 0,
    };
    const { guest, started } = await hostOf().load(module.bytes, facts, { timeMs, startMs });
    return [guest, started];
  };
  const guestOf = async (script: string, timeMs = 2_000): Promise<Guest> => {
    const [guest, started] = await load(await scriptGuest(), timeMs);
    assert.equal(started, 0);
    assert.equal(await guest.configure(1, `\0${script}`), "1l1:212:vm start -> ");
    return guest;
  };

  describe(`a guest in ${name}`, () => {
    test("tells what it did, once a call", async () => {
      const guest = await guestOf("request replace 0 x-a 1\nresponse return 1");
      assert.equal(await begin(guest, 2), "0s1:03:x-a1:1l1:228:request replace 0 x-a 1 -> 0");
      assert.equal(await guest.call(hooks.response, 2, 2, "200", ""), 1);
      assert.equal(await guest.call(hooks.end, 0, 0, "2\x00200", ""), 0);
      guest.dispose();
      guest.dispose();
      assert.equal(guest.alive, false);
      await assert.rejects(begin(guest, 3), { name: "GuestFailure" });
    });

    test("does not keep the process alive", async () => {
      const ports = (): number =>
        process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
      // Of a thread that is ending.
      while (ports() > 0) await setImmediate();
      const guest = await guestOf("request return 0");
      await begin(guest, 2);
      const held = ports();
      guest.dispose();
      assert.equal(held, 0);
    });

    test("is asked in the order of the calls", async () => {
      const guest = await guestOf("request shared key\nrequest setshared key v 0");
      const answers = await Promise.all([2, 3, 4].map((context) => begin(guest, context)));
      const found = answers.map((answer) => /shared key -> (\d)/.exec(String(answer))?.[1]);
      assert.deepEqual(found, ["1", "0", "0"]);
      guest.dispose();
    });

    test("takes bytes of every value, and a body of a mebibyte", async () => {
      const guest = await guestOf("requestBody write 0 4294967295 0 %00%FF\nrequestBody size 0");
      await begin(guest, 2);
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
        .toString("latin1")
        .repeat(2_048);
      const answer = String(await guest.call(hooks.requestBody, 2, 1, "", bytes));
      assert.match(answer, /requestBody size 0 -> 0 524290/);
      assert.ok(answer.includes(`${bytes}\0\xff`));
      guest.dispose();
    });

    test("that traps is told with what it said before", async () => {
      const guest = await guestOf("request log 2 before\nrequest trap");
      const answer = String(await begin(guest, 2));
      assert.match(answer, /^!\d+:RuntimeError: unreachable/);
      assert.match(answer, /before/);
      guest.dispose();
    });

    test("that traps answers nothing of what is behind that", async () => {
      const guest = await guestOf("request trap");
      assert.match(String(await guest.configure(5, "request log 2 well")), /^1/);
      const [first, second, third] = await Promise.allSettled([
        begin(guest, 2, 5),
        begin(guest, 3),
        begin(guest, 4, 5),
      ]);
      assert.match(String(first.status === "fulfilled" && first.value), /well/);
      assert.match(String(second.status === "fulfilled" && second.value), /^!/);
      // In the isolate the calls have been made by now, one after the other.
      if (name === "thread") assert.ok(third.status === "rejected" && !(third.reason as GuestFailure).began);
      guest.dispose();
    });

    test("that calls itself without end, or reaches beyond its memory, traps", async () => {
      for (const [operation, message] of [
        ["recurse", /^!\d+:RangeError/],
        ["touch 0", /^!\d+:RuntimeError: memory access out of bounds/],
        ["exit 0", /^!\d+:Error: the guest ended itself/],
      ] as const) {
        const guest = await guestOf(`request ${operation}`);
        assert.match(String(await begin(guest, 2)), message);
        guest.dispose();
      }
    });

    test("grows to what its module was given, and no further", async () => {
      const guest = await guestOf("request grow");
      assert.match(String(await begin(guest, 2)), /request grow -> (1[12]\d)$/);
      guest.dispose();
    });

    test("that never returns is stopped, and what did not begin says so", async () => {
      const guest = await guestOf("request log 2 hello", 20);
      assert.match(String(await guest.configure(5, "request spin")), /^1/);
      const startedAt = performance.now();
      const [first, second, third] = await Promise.allSettled([
        begin(guest, 2),
        begin(guest, 3, 5),
        begin(guest, 4),
      ]);
      // The goal is 30 ms; the machine of a test may be busy.
      assert.ok(performance.now() - startedAt < 5_000);
      assert.match(String(first.status === "fulfilled" && first.value), /hello/);
      assert.ok(second.status === "rejected" && second.reason instanceof GuestFailure);
      assert.equal(second.reason.message, "it took too long");
      assert.equal(second.reason.began, true);
      assert.ok(third.status === "rejected" && third.reason instanceof GuestFailure);
      assert.equal(third.reason.began, false);
      assert.equal(guest.alive, false);
    });

    test("may take its time to start and to be configured, but not for ever", async () => {
      const spins = await cGuest("odd", ["-DSTARTS", "-DSPIN"]);
      await assert.rejects(load(spins, 20, 200), { name: "GuestFailure", message: "it took too long" });
      const [guest] = await load(await scriptGuest(), 20, 200);
      await assert.rejects(guest.configure(1, "configure spin"), { message: "it took too long" });
    });

    test("that is ended answers nothing more", async () => {
      const guest = await guestOf("request log 2 hello");
      const call = begin(guest, 2);
      guest.dispose();
      const [answer] = await Promise.allSettled([call]);
      // In a thread it had not been answered; nothing of it had an effect.
      if (answer.status === "rejected") {
        assert.ok(answer.reason instanceof GuestFailure);
        assert.equal(answer.reason.began, false);
      }
    });

    test("by the AssemblyScript SDK sets itself up before it exports anything", async () => {
      const [guest, started] = await load(await assemblyGuest());
      assert.equal(started, 0);
      assert.match(String(await guest.configure(1, "of the policy")), /^1/);
      assert.match(String(await begin(guest, 2)), /x-path2:\/a.*x-configuration13:of the policy/);
      guest.dispose();
    });
  });
}
