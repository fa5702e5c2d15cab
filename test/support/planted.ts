// Unique values for each part of a request that may be personal data: wherever a test finds them again, that place
// holds personal data.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

/** The values sent, by column of the table. */
const planted: Readonly<Record<string, string>> = {
  user: "planted-user-5d1c",
  claim: "planted-mail-77e0@example.test",
  "key id": "planted-key-2c9b",
  credential: "planted-credential-7f3a",
  address: "127.0.0.177",
  path: "planted-path-91ab",
  query: "planted-query-c04d",
  "user agent": "planted-agent-33ef",
  field: "planted-field-a871",
  cookie: "planted-cookie-60be",
  request: "planted-body-1f9d",
  response: "planted-answer-e25c",
  author: "planted-author-84d2",
};
export const columns = Object.keys(planted);
export const sent = (column: string): string => planted[column] as string;

export const sha256 = (text: string) => createHash("sha256").update(text);

/**
 * Digests that confirm a guessed value: without a key, in the forms that this project's keys use.
 * @param issuer the issuer that vouches for the value in tokens
 */
function digestsOf(value: string, issuer: string): string[] {
  const forms = [value, `${issuer}\n${value}`, JSON.stringify([value])];
  return forms.flatMap((form) => [sha256(form).digest("hex"), sha256(form).digest("base64url").slice(0, 22)]);
}

export function shownIn(text: string, value: string, issuer: string): string {
  if (text.includes(value)) return "clear";
  return digestsOf(value, issuer).some((digest) => text.includes(digest)) ? "digest" : "";
}

/** Cells by place, in the order of the columns. */
export function tableOf(guide: string): Map<string, string[]> {
  const [, table = ""] = /\n(\| place [^]*?\n)\n/.exec(guide) ?? [];
  const rows = table.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| ---"));
  const [head = [], ...body] = rows.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  assert.deepEqual(head.slice(1, columns.length + 1), columns);
  return new Map(body.map(([place = "", ...cells]) => [place, cells.slice(0, columns.length)]));
}
