// `GET /requests/<id>`: the course of a request that is over.
import { AdminProblem, type Answer, jsonAnswer } from "./answer.ts";

const start = "/requests/";

/** @returns the id of a path that asks for a request; undefined for any other */
export function requestIdIn(path: string): string | undefined {
  if (!path.startsWith(start) || path.length === start.length) return undefined;
  try {
    return decodeURIComponent(path.slice(start.length));
  } catch {
    throw new AdminProblem(400, "The request id is not percent-encoded text.");
  }
}

/** @throws AdminProblem 404 */
export async function requestAnswer(
  id: string,
  find: (id: string) => Promise<object | undefined>,
): Promise<Answer> {
  const found = await find(id);
  if (found === undefined)
    throw new AdminProblem(
      404,
      "No such request is kept: this sidecar keeps its last 1,000, and of more than 200 a second only those that were refused or failed.",
    );
  return jsonAnswer(200, found);
}
