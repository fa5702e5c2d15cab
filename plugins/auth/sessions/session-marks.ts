// Makes marks: names for all sessions of a subject, of a session at the provider (`sid`), or of a user id. An end under
// a mark reaches sessions whose ids nobody knows. Marks are digests, so that keys in Redis hold no names.
import { hash } from "node:crypto";
import type { LoginOptions } from "../login/options.ts";

type Client = Pick<LoginOptions, "issuer" | "clientId">;

/** Prefix for ends in Redis. The id of a session or one of these marks follows. */
export const endedPrefix = "session-ended:";

const digest = (...facts: readonly string[]): string => hash("sha256", JSON.stringify(facts), "base64url");

export function subjectMark({ issuer, clientId }: Client, subject: string): string {
  return `sub.${digest(issuer, clientId, subject)}`;
}

export function providerSessionMark({ issuer, clientId }: Client, sid: string): string {
  return `sid.${digest(issuer, clientId, sid)}`;
}

/** Covers the user's sessions from all issuers. */
export function userMark(userId: string): string {
  return `user.${digest(userId)}`;
}

/** @param userId as rules and the service see it */
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
