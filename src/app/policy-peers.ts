// Asks siblings for their signed policy, for a sidecar that has none while Redis is down (OUTRIGGER_PEERS).
import { type AdminListener, listenersAt, readAdmin } from "../admin/ask.ts";
import type { SiblingTls } from "../admin/siblings.ts";
import { CommonBytes } from "../admin/common-bytes.ts";
import type { Config } from "../config/config.ts";
import type { PeerAddress } from "../config/peers.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";
import { type AskPeers, newestFirst, readPeerPolicy } from "../policy/sources/peer-policies.ts";
import type { RawPolicy } from "../policy/read.ts";

/**
 * Time limit in milliseconds for each name lookup and each answer. All peers are asked at once, at most 64, chosen at
 * random each time when there are more.
 */
const limitMs = 2_000;
const maxAsked = 64;
/** How many answers of the greatest length fit in memory at the same time. Usual answers are a hundredth of that. */
const maxLongest = 4;

/**
 * @param token returns the current token for the peers' admin listeners
 * @param siblings with it peers are asked only over TLS, and nobody gets the token: an attacker who breaks TLS must not
 * get it in clear
 * @returns undefined when no peers are named
 */
export function peersOf(
  config: Config,
  token: () => string | undefined,
  siblings?: () => SiblingTls,
): AskPeers | undefined {
  const { peers, service, policyMaxBytes } = config;
  if (peers === undefined) return undefined;
  // Two policy documents and the key documents, as JSON.
  const maxBytes = 4 * policyMaxBytes + 1_048_576;
  return async () => {
    const problems: string[] = [];
    const listeners = anyOf(await lookUp(peers, problems), maxAsked);
    const common = new CommonBytes(maxLongest * maxBytes);
    const found = new Set<RawPolicy>();
    const sibling = siblings?.();
    const bearer = sibling === undefined ? token() : undefined;
    const ask = async (listener: AdminListener): Promise<void> => {
      try {
        const limits = { limitMs, maxBytes, common };
        const { status, body } = await readAdmin({ ...listener, sibling }, "/policy/signed", bearer, limits);
        const policy = status === 200 ? readPeerPolicy(body, service) : `answers ${status}`;
        if (typeof policy === "string") {
          problems.push(`${listener.name} ${policy}`);
          return;
        }
        found.add(policy);
        common.hold(() => found.delete(policy)).take(Buffer.byteLength(body));
      } catch (error) {
        problems.push(`${listener.name}: ${textOf(error)}`);
      }
    };
    await Promise.all(listeners.map(ask));
    if (found.size > 0) return newestFirst([...found], policyMaxBytes);
    throw new Error(`no peer of OUTRIGGER_PEERS has a signed policy: ${problems.slice(0, 5).join("; ")}`);
  };
}

async function lookUp(peers: readonly PeerAddress[], problems: string[]): Promise<AdminListener[]> {
  const looked = await Promise.all(
    peers.map((peer) =>
      withinLimit(listenersAt(peer), limitMs, "its name is not looked up in time").catch((error: unknown) => {
        problems.push(`${peer.host}: ${textOf(error)}`);
        return [];
      }),
    ),
  );
  return looked.flat();
}

/** @returns at most that many of them, chosen at random */
function anyOf<Listener>(listeners: Listener[], most: number): Listener[] {
  for (let i = 0; i < Math.min(most, listeners.length - 1); i += 1) {
    const other = i + Math.floor(Math.random() * (listeners.length - i));
    [listeners[i], listeners[other]] = [listeners[other] as Listener, listeners[i] as Listener];
  }
  return listeners.slice(0, most);
}
