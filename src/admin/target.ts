// The target of a request to the admin listener.
import { AdminProblem } from "./answer.ts";

/**
 * The path of an absolute form, too, which every server takes (RFC 9112 section 3.2.2).
 * @throws AdminProblem when its authority is another than Host names, which decides who may do what
 */
export function originForm(target: string, host: string | undefined): string {
  const match = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (match === null) return target;
  if ((match[1] as string).toLowerCase() !== host?.toLowerCase())
    throw new AdminProblem(400, "The target and the Host field disagree.");
  const rest = match[2] as string;
  return rest.startsWith("/") ? rest : `/${rest}`;
}
