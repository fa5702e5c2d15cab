// Writes lines of the Combined Log Format, followed by request id, milliseconds, end, and for a slow request each
// plugin's time. Client text cannot end an item or the line: such characters are written as `\xHH`, as nginx does.
import type { Exchange, Outcome, RouteInfo } from "../../src/plugin-api/contract.ts";
import type { AccessLine, LineExtra } from "./members.ts";
import type { LoggingOptions } from "./options.ts";
import type { Redaction } from "./redact.ts";
import { clfText, createClfTime, decimals, keepLast } from "./text.ts";

const bare = (value: string): string => (value === "" ? "-" : clfText(value, true));
const quoted = (value: string): string => (value === "" ? "-" : clfText(value, false));

export function compileClfLine(options: LoggingOptions, _route: RouteInfo, redaction: Redaction): AccessLine {
  const client = keepLast(redaction.shown("clientIp", bare));
  const user = redaction.shown("userId", bare);
  const agent = keepLast(redaction.shown("userAgent", quoted));
  // Part of the request line, whose items are separated by spaces.
  const path = redaction.shown("path", (value) => clfText(value, true));
  const time = createClfTime();
  const query = ({ request }: Exchange): string =>
    options.query ? clfText(redaction.query(request.query), true) : "";
  return function clfLine(exchange, outcome, _level, extra) {
    const { request, identity } = exchange;
    const { method, fields, httpVersion } = request;
    const requestLine = `${clfText(method, true)} ${path(request.path)}${query(exchange)} HTTP/${httpVersion}`;
    const endedMs = Math.round(exchange.startedAt + outcome.durationMs);
    return (
      `${client(exchange.client.address)} - ${identity === undefined ? "-" : user(identity.userId)} [${time(endedMs)}]` +
      ` "${requestLine}" ${status(outcome)} ${outcome.responseBytes === 0 ? "-" : outcome.responseBytes}` +
      ` "${quoted(refererOf(extra))}" "${agent(fields.get("user-agent") ?? "")}"` +
      ` "${quoted(exchange.id)}" ${decimals(outcome.durationMs)} ${outcome.end}${slowItem(extra)}`
    );
  };
}

/** Readers expect three digits. If the client left before there was a status: 499, as nginx writes. */
const status = ({ status: sent }: Outcome): number => (sent === 0 ? 499 : sent);

/** Present only when the `headers` option includes it. */
function refererOf(extra: LineExtra | undefined): string {
  return extra?.requestHeaders?.find(([name]) => name === "referer")?.[1] ?? "";
}

function slowItem(extra: LineExtra | undefined): string {
  if (extra?.pluginMs === undefined) return "";
  return ` "slow ${extra.pluginMs.map(([plugin, ms]) => `${clfText(plugin, true)}=${ms}`).join(" ")}"`;
}
