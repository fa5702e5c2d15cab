// The service: whether the sidecar reaches it, and whether others do past the sidecar.
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { UpstreamAddress } from "../../config/formats.ts";
import { hostPort } from "../../language/address-text.ts";
import { expiryOf } from "./certificates.ts";
import type { CheckFinding } from "../../plugin-api/checks.ts";
import { checkOf } from "./finding.ts";

const limitMs = 2_000;

/** @param addresses of this machine that others reach */
export async function checkService(
  upstream: UpstreamAddress,
  nowMs: number,
  addresses: readonly string[] = outerAddresses(),
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
  return "failure" in reached ? found : [...found, await checkBypass(upstream, addresses)];
}

async function checkBypass(
  { port, socketPath }: UpstreamAddress,
  addresses: readonly string[],
): Promise<CheckFinding> {
  const check = checkOf("bypass");
  if (socketPath !== undefined || port === undefined)
    return check.ok("the service listens at a socket of this machine alone");
  const tried = await Promise.all(
    addresses.map(async (host) => ({ host, reached: await reach(connect({ host, port }), false) })),
  );
  const open = tried.filter(({ reached }) => !("failure" in reached)).map(({ host }) => hostPort(host, port));
  if (open.length === 0)
    return check.ok(`the service's port ${port} is closed at this machine's other addresses`);
  return check.fail(
    `the service answers at ${open.join(", ")}, too: whoever reaches that passes the sidecar by`,
    "have it listen on 127.0.0.1 alone",
  );
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

/** Link-local ones are left out: they are no address without the link. */
function outerAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flat()
    .flatMap((each) => (each === undefined || each.internal || each.scopeid ? [] : [each.address]));
}
