// Names for all sessions of somebody, under which an end is told that reaches those it does not know one by one: of a
// subject, of a session at the provider (`sid`), of a user id. They are digests: keys in Redis hold no names.
import { hash } from "node:crypto";
import type { LoginOptions } from "../login/options.ts";

type Client = Pick<LoginOptions, "issuer" | "clientId">;

/** Where ends are told, with ids of sessions and with these marks. */
export const endedPrefix = "session-ended:";

const digest = (...facts: readonly string[]): string => hash("sha256", JSON.stringify(facts), "base64url");

export function subjectMark({ issuer, clientId }: Client, subject: string): string {
  return `sub.${digest(issuer, clientId, subject)}`;
}

export function providerSessionMark({ issuer, clientId }: Client, sid: string): string {
  return `sid.${digest(issuer, clientId, sid)}`;
}

/** Whatever issuer the user came from. */
export function userMark(userId: string): string {
  return `user.${digest(userId)}`;
}

/** @param userId as rules and the service know it */
export function marksOf(
  client: Client,
  claims: Readonly<Record<string, unknown>>,
  userId: string,
): readonly string[] {
  const { sub, sid } = claims;
  const marks = [userMark(userId)];
  if (typeof sub === "string") marks.push(subjectMark(client, sub));
  if (typeof sid === "string") marks.push(providerSessionMark(client, sid));
  return marks;
}
