// Checks the service: whether the sidecar reaches it, and whether others can reach it without the sidecar.
import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { UpstreamAddress } from "../../config/formats.ts";
import { type Bypass, lookForBypass } from "../../intercept/bypass.ts";
import { expiryOf } from "./certificates.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { checkOf } from "./finding.ts";

const limitMs = 2_000;

export async function checkService(
  upstream: UpstreamAddress,
  nowMs: number,
  look: () => Promise<Bypass> = () => lookForBypass(upstream),
): Promise<CheckFinding[]> {
  const check = checkOf("upstream");
  const { name, socketPath, host, port, tls } = upstream;
  const target = socketPath === undefined ? { host, port } : { path: socketPath };
  const reached = await reach(
    tls ? connectTls({ ...target, rejectUnauthorized: false }) : connect(target),
    tls,
  );
  const found = [
    "failure" in reached
      ? check.fail(`${name}: ${reached.failure}`, "start the service, or correct OUTRIGGER_UPSTREAM")
      : check.ok(`${name} takes connections`),
    ...("endsAt" in reached && reached.endsAt !== undefined
      ? [expiryOf(`the service's certificate at ${name}`, reached.endsAt, nowMs)]
      : []),
  ];
  return "failure" in reached ? found : [...found, await checkBypass(look)];
}

async function checkBypass(look: () => Promise<Bypass>): Promise<CheckFinding> {
  const check = checkOf("bypass");
  const { state, detail } = await look();
  if (state === "open")
    return check.fail(
      detail,
      "have it listen on 127.0.0.1 alone, or take its port: outrigger intercept install",
    );
  if (state === "unknown") return check.warn(`not known: ${detail}`, "run it where the service runs");
  return check.ok(detail);
}

type Reached = { readonly endsAt?: number | undefined } | { readonly failure: string };

function reach(socket: Socket | TLSSocket, tls: boolean): Promise<Reached> {
  return new Promise((resolve) => {
    const end = (reached: Reached): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reached);
    };
    const timer = setTimeout(() => end({ failure: "no answer in time" }), limitMs);
    socket.once("error", (error: NodeJS.ErrnoException) =>
      end({ failure: error.code ?? "no TLS handshake" }),
    );
    socket.once(tls ? "secureConnect" : "connect", () => {
      const validTo =
        "getPeerX509Certificate" in socket ? socket.getPeerX509Certificate()?.validTo : undefined;
      end({ endsAt: validTo === undefined ? undefined : Date.parse(validTo) });
    });
  });
}
