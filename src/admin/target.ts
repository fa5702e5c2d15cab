// Reads the target of a request to the admin listener.
import { AdminProblem } from "./answer.ts";

/**
 * The target in origin form; every server must accept the absolute form, too (RFC 9112 section 3.2.2).
 * @throws AdminProblem 400 when the target's authority differs from Host, which the access check relies on
 */
export function originForm(target: string, host: string | undefined): string {
  const match = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (match === null) return target;
  if ((match[1] as string).toLowerCase() !== host?.toLowerCase())
    throw new AdminProblem(400, "The target and the Host field disagree.");
  const rest = match[2] as string;
  return rest.startsWith("/") ? rest : `/${rest}`;
}
