// Tests TLS to the service: verified unless the policy says otherwise.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { makeCertificate } from "../certificate.ts";
import type { RawPeer } from "../raw-peer.ts";
import { always, answer, type CreateTransport, openScene } from "./scene.ts";

export function describeSecureUpstreams(create: CreateTransport): void {
  describe("a TLS upstream", () => {
    const { key, cert } = makeCertificate();
    const place = { tls: { key, cert } };

    test("is believed by its authority, and asked over one connection", async () => {
      const tlsOptions = { ca: cert, rejectUnauthorized: true };
      await using scene = await openScene(create, always(answer("x")), {}, place, tlsOptions);
      assert.equal((await scene.ask().result).body, "x");
      assert.equal((await scene.ask().result).body, "x");
      assert.equal(scene.server.peers.length, 1);
    });

    test("is not believed without one", async () => {
      await using scene = await openScene(create, always(answer("x")), {}, place);
      assert.equal((await scene.ask().result).error?.code, "upstream_certificate");
    });

    test("is believed without one when that is asked for", async () => {
      const tlsOptions = { rejectUnauthorized: false };
      await using scene = await openScene(create, always(answer("x")), {}, place, tlsOptions);
      assert.equal((await scene.ask().result).body, "x");
    });

    test("that goes by another name is not believed", async () => {
      const tlsOptions = { ca: cert, rejectUnauthorized: true };
      await using scene = await openScene(
        (target, options) => create({ ...target, host: "127.0.0.2" }, options),
        always(answer("x")),
        {},
        { ...place, host: "127.0.0.2" },
        tlsOptions,
      );
      assert.equal((await scene.ask().result).error?.code, "upstream_certificate");
    });

    test("goes on with its session on the next connection", async () => {
      const tlsOptions = { ca: cert, rejectUnauthorized: true };
      const reused: boolean[] = [];
      const script = async (peer: RawPeer): Promise<void> => {
        reused.push((peer.socket as TLSSocket).isSessionReused());
        await peer.head();
        peer.send(answer("x", "Connection: close\r\n"));
      };
      await using scene = await openScene(create, script, {}, place, tlsOptions);
      await scene.ask().result;
      await scene.ask().result;
      assert.deepEqual(reused, [false, true]);
    });

    test("that speaks no TLS is unavailable", async () => {
      await using scene = await openScene(
        (target, options) => create({ ...target, tls: true }, options),
        (peer) => peer.send(answer("x")),
      );
      assert.equal((await scene.ask().result).error?.code, "upstream_unavailable");
    });

    test("carries big bodies whole", async () => {
      const body = Buffer.alloc(3_000_000, "0123456789");
      const tlsOptions = { ca: cert, rejectUnauthorized: true };
      await using scene = await openScene(
        create,
        async (peer) => {
          await peer.head();
          peer.send(answer(await peer.bytes(body.length)));
        },
        {},
        place,
        tlsOptions,
      );
      const fields = ["Host", "service.test", "Content-Length", String(body.length)];
      const { body: echoed } = await scene.ask({ method: "POST", fields, body }).result;
      assert.equal(echoed, body.toString("latin1"));
    });
  });
}
