// What clients ask for: regular requests and their odd relatives, as text.
import { afterBody, atOnce } from "./behaviours.ts";
import type { Dice } from "./dice.ts";

export interface Request {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly text: string;
}

export const methods = ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] as const;
const rooms = ["p", "retry", "two", "cache", "auth", "rl", "comp"] as const;
/** A WebSocket is asked for by its own client. */
const behaviours = ["ok", "ok", ...Object.keys(afterBody), ...Object.keys(atOnce)].filter(
  (name) => name !== "ws",
);

/** @returns a path whose last part tells the service what to do */
export function pathOf(dice: Dice): string {
  return `/${dice.pick(rooms)}/${dice.pick(behaviours)}?q=${dice.below(5)}`;
}

/** @param id begins the body, so that the service sees whose it is */
export function requestOf(dice: Dice, id: string): Request {
  const method = dice.pick(methods);
  const path = pathOf(dice);
  const odd: readonly (readonly [number, string])[] = [
    [3, "Accept-Encoding: gzip"],
    [8, "Connection: close"],
    [10, "TE: trailers"],
    [5, "Origin: http://x.test"],
    [5, "X-API-Key: ork_bogus"],
  ];
  const fields = odd.filter(([times]) => dice.oneIn(times)).map(([, field]) => field);
  const hasBody = method === "POST" || method === "PUT" || (method === "DELETE" && dice.oneIn(2));
  const framed = hasBody ? bodyOf(dice, id) : { fields: [], bytes: "" };
  const lines = [`${method} ${path} HTTP/1.1`, "Host: a", `X-Request-Id: ${id}`, ...fields, ...framed.fields];
  return { id, method, path, text: [...lines, "", framed.bytes].join("\r\n") };
}

function bodyOf(dice: Dice, id: string): { readonly fields: readonly string[]; readonly bytes: string } {
  // The largest is over the limit.
  const size = dice.pick([0, 10, 1_000, 70_000, 200_000, dice.oneIn(12) ? 400_000 : 0]);
  const body = `${id}|${"b".repeat(size)}`;
  const expect = dice.oneIn(12) ? ["Expect: 100-continue"] : [];
  if (dice.oneIn(2)) return { fields: [...expect, `Content-Length: ${body.length}`], bytes: body };
  const cut = 1 + dice.below(body.length);
  const chunks = [body.slice(0, cut), body.slice(cut)]
    .filter((part) => part !== "")
    .map((part) => `${part.length.toString(16)}${dice.oneIn(4) ? ";x=y" : ""}\r\n${part}\r\n`);
  const text = `${chunks.join("")}0\r\n${dice.oneIn(3) ? "X-Tr: 1\r\n" : ""}\r\n`;
  const bytes = dice.oneIn(25) ? text.replace("\r\n", "\n\r") : text;
  return { fields: [...expect, "Transfer-Encoding: chunked"], bytes };
}
