// Describes failures of Redis in words that may be logged: never a command's data, never a credential.

/** The reason if nothing better is known. */
export const connectionLost = "connection lost";
export const noAnswer = "no answer in time";
const noTls = "it does not speak TLS: redis:// in place of rediss://?";
const noTlsInTime = "no TLS handshake in time: it is out of reach, or does not speak TLS";
const speaksTls = "it speaks TLS: rediss:// in place of redis://?";

/** OpenSSL's error codes for an answer that is no TLS record. */
const noTlsCodes = new Set([
  "EPROTO",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_UNEXPECTED_MESSAGE",
  "ERR_SSL_WRONG_VERSION_NUMBER",
]);

/** Codes of error replies that mean "I cannot serve anyone now", not "this command is wrong". */
const outageCodes = new Set(["LOADING", "NOAUTH", "MASTERDOWN", "CLUSTERDOWN", "BUSY"]);

/** @returns the code word of an error reply (`WRONGTYPE`, `ERR`); undefined if the failure was no reply. */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== "ReplyError") return undefined;
  // Redis 7.0 has no code of its own for a command that a script's user may not run.
  if (error.message.startsWith("ERR The user executing the script can't ")) return "NOPERM";
  return /^[A-Z][A-Z0-9_]{1,31}(?= |$)/u.exec(error.message)?.[0] ?? "ERR";
}

/** What users of Redis may do is listed there. */
export const whereRights = "use the operator of deploy/redis-acl.conf";

/**
 * Says what right a refused command needs. Redis tells only the command, and not always that; of its text nothing else
 * is passed on, since it also holds names that others chose.
 */
function lackOf(message: string): string {
  const [, command] = / permissions to run the '([a-z][a-z0-9_.|-]{0,40})' command/u.exec(message) ?? [];
  if (command !== undefined) return `this user lacks +${command}`;
  if (/ access .* keys?\b/u.test(message)) return "this user has not the right to one of its keys";
  if (/ (?:access|publish) .* channels?\b/u.test(message))
    return "this user has not the right to its channel";
  // So says Redis 7.0, which does not tell which.
  if (message.includes("can't run this command")) return "this user lacks a command that a script runs";
  return "this user has no right to that";
}

/** The advice when the address names a Cluster's node as a single server. */
export const ofCluster =
  "this is one node of a Redis Cluster: write redis+cluster:// or rediss+cluster:// in REDIS_URL";

/** Redis answered that the user lacks a right, or that it does not know the command. */
class CommandRefused extends Error {
  override readonly name = "CommandRefused";
}

/** @returns the error; for Redis' refusal of a command, one that names the right to grant. */
export function refusalOf(error: unknown, command: string, right: string): unknown {
  const code = replyCode(error);
  if (code === "NOPERM") return new CommandRefused(`Redis refuses ${command} (NOPERM): grant ${right}`);
  if (code === "ERR") return new CommandRefused(`this Redis has no ${command}`);
  return error;
}

/**
 * @param overTls whether the connection should use TLS
 * @returns a code word of Redis or of the system, or a short phrase of this file.
 */
export function reasonOf(error: unknown, overTls = false): string {
  if (error instanceof CommandRefused) return error.message;
  const code = replyCode(error);
  if (code === "MOVED") return `MOVED (${ofCluster})`;
  if (code === "NOPERM") return `NOPERM: ${lackOf((error as Error).message)}`;
  if (code !== undefined) return code;
  if (!(error instanceof Error)) return connectionLost;
  // ClusterAllFailedError of ioredis: the last node's error is the interesting part.
  if ("lastNodeError" in error && error.lastNodeError !== null) return reasonOf(error.lastNodeError, overTls);
  if (overTls && "code" in error) {
    if (noTlsCodes.has(String(error.code))) return noTls;
    // A server without TLS waits for the end of what it takes for a command line.
    if (error.code === "ETIMEDOUT") return noTlsInTime;
  }
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error.message === noAnswer || /timed out|timeout/iu.test(error.message)) return noAnswer;
  if (error.message.startsWith("All sentinels are unreachable")) return "no sentinel knows the master";
  // A TLS alert (RFC 8446 section 5.1) begins with 21.
  if (/^Unknown RESP type 21\b/u.test(error.message)) return speaksTls;
  if (error.message.endsWith("Please report this.")) return "an answer that is not RESP";
  return connectionLost;
}

/** Whether Redis says that another call soon is of no use. */
export function isOutage(error: unknown): boolean {
  return outageCodes.has(replyCode(error) ?? "");
}
