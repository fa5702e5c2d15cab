// Parses a line of the Combined Log Format, from this program or another proxy. Such a line does not say which route
// took the request, who answered it, or for which host and service it was.

/**
 * After the agent, this program's lines have id, milliseconds and end. A quote in an item is escaped: `\x22` (nginx,
 * this program), `\"` (Apache).
 */
const form =
  /^(\S+) - (\S+) \[([^\]]{20,32})\] "(\S+) (\S+) HTTP\/[\d.]{1,3}" (\d{3}) (?:\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"(?: "([^"]*)" ([\d.]{1,20}) [a-z-]+(?: .*)?)?$/;

/** @returns the members; undefined when the line has another format */
export function clfMembers(text: string): Readonly<Record<string, unknown>> | undefined {
  const items = form.exec(text.trimEnd());
  if (items === null) return undefined;
  const [, client, user, ended, method, target = "", status, referer, agent, id, duration] = items;
  const at = target.indexOf("?");
  return {
    msg: "request",
    tellsCourse: false,
    time: timeOf(ended as string),
    // Times in the lines are whole seconds: whole durations keep the lines of one second in order.
    durationMs: duration === undefined ? undefined : Math.trunc(Number(duration) / 1_000) * 1_000,
    clientIp: itemOf(client),
    userId: itemOf(user),
    method: itemOf(method),
    path: itemOf(at === -1 ? target : target.slice(0, at)),
    query: at === -1 ? undefined : itemOf(target.slice(at)),
    // nginx and this program write 499 when the client left before there was a status.
    status: status === "499" ? 0 : Number(status),
    userAgent: itemOf(agent),
    requestId: itemOf(id),
    requestHeaders: { referer: itemOf(referer) },
  };
}

/** Unescapes an item: `\xHH` is a byte; any other character after a backslash stands for itself. */
function itemOf(item: string | undefined): string | undefined {
  if (item === undefined || item === "-") return undefined;
  if (!item.includes("\\")) return item;
  const bytes = item.replaceAll(/\\(?:x([\dA-F]{2})|(.))/gi, (_, hex: string | undefined, other: string) =>
    hex === undefined ? other : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString();
}

/** @param text `10/Oct/2000:13:55:36 +0000` @returns epoch milliseconds; NaN for an invalid time */
function timeOf(text: string): number {
  const [, day, month, year, clock, zone] =
    /^(\d\d)\/([A-Z][a-z]{2})\/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d{4})$/.exec(text) ?? [];
  return Date.parse(`${day} ${month} ${year} ${clock} ${zone}`);
}
