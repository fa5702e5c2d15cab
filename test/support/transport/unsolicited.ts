// Tests bytes that a service sends although nobody asked: where they can be known, they must never be taken for the
// answer to the next request.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RawPeer } from "../raw-peer.ts";
import { answer, type CreateTransport, openScene, turns } from "./scene.ts";

const poison = answer("poison");
const twoChunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n";

/** Answers every request with the number of its connection. */
async function numbered(peer: RawPeer, index: number): Promise<void> {
  for (;;) {
    await peer.head();
    peer.send(answer(String(index)));
  }
}

export function describeUnsolicited(create: CreateTransport): void {
  describe("bytes that nobody asked for", () => {
    test("answer no later GET once a service is known to send such", async () => {
      await using scene = await openScene(create, numbered);
      assert.equal((await scene.ask().result).body, "0");
      const idle = await scene.server.peer(0);
      idle.send(poison);
      await idle.ended;
      assert.equal((await scene.ask().result).body, "1");
      await turns();
      // All in one turn: the bytes are there before the request is, but no poll has shown them.
      (await scene.server.peer(1)).send(poison);
      assert.equal((await scene.ask().result).body, "2");
    });

    test("answer no later GET once a service has sent such behind an answer", async () => {
      await using scene = await openScene(create, async (peer, index) => {
        await peer.head();
        peer.send(answer(String(index)) + (index === 0 ? poison : ""));
        await numbered(peer, index);
      });
      assert.equal((await scene.ask().result).body, "0");
      assert.equal((await scene.ask().result).body, "1");
      await turns();
      (await scene.server.peer(1)).send(poison);
      assert.equal((await scene.ask().result).body, "2");
    });

    for (const next of ["has waited for the connection", "comes as soon as the connection is free"]) {
      test(`do not answer a GET that ${next}, where a slow client held the last answer up`, async () => {
        await using scene = await openScene(
          create,
          async (peer, index) => {
            await peer.head();
            if (index === 0) peer.send(twoChunks);
            else peer.send(answer(String(index)));
          },
          { maxConnections: 1 },
        );
        const held = Promise.withResolvers<void>();
        let isSlow = true;
        const first = scene.ask(
          {},
          {
            onData: () => {
              held.resolve();
              return !isSlow;
            },
          },
        );
        const waiting = next.startsWith("has waited") ? scene.ask() : undefined;
        await held.promise;
        (await scene.server.peer(0)).send(poison);
        await turns();
        isSlow = false;
        first.resume();
        const { body } = await (waiting ?? scene.ask()).result;
        assert.deepEqual([(await first.result).body, body], ["ab", "1"]);
      });
    }
  });
}
