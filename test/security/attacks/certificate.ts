// A client certificate that passes for another client's.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";

const admin = "spiffe://cluster.local/ns/ops/sa/admin";

export const attacks: readonly Attack[] = [
  {
    row: "Z20",
    what: "shows a certificate with an admin's URI as a DNS name, or with two SPIFFE ids",
    async run(scene) {
      const certificates = {
        forwarded: true,
        identities: [{ id: admin }, { id: "spiffe://cluster.local/*" }],
      };
      const sidecar = await scene.sidecar({
        policy: { plugins: ["auth"], pluginConfig: { auth: { apiKeys: false, certificates } } },
        upstream: (_request, response) => response.end("served"),
        env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.0/8" },
      });
      const statusFor = async (certificate: string): Promise<number> =>
        (await fetch(sidecar.url, { headers: { "x-forwarded-client-cert": certificate } })).status;
      assert.equal(await statusFor(`URI=${admin}`), 200, "the admin");
      assert.equal(await statusFor(`DNS=${admin}`), 401, "the admin's id as a DNS name");
      assert.equal(await statusFor(`URI=spiffe://cluster.local/ns/x;URI=${admin}`), 401, "two SPIFFE ids");
      assert.equal(await statusFor(`URI=${admin};URI=https://other`), 401, "a SPIFFE id and another URI");
    },
  },
];
