// `GET /requests/<id>`: shows the course of a request that has ended.
import { AdminProblem, type Answer, jsonAnswer } from "./answer.ts";

const start = "/requests/";

/** @returns the request id in the path; undefined for other paths @throws AdminProblem 400 */
export function requestIdIn(path: string): string | undefined {
  if (!path.startsWith(start) || path.length === start.length) return undefined;
  try {
    return decodeURIComponent(path.slice(start.length));
  } catch {
    throw new AdminProblem(400, "The request id is not percent-encoded text.");
  }
}

/** Rejects with AdminProblem 404 when the request is not known. */
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
