// Tests of a policy that ask for an operation.
import { normalisePath, PathError } from "../language/request-path.ts";
import type { CarriedTest } from "../policy/layers/carried-tests.ts";
import type { Form } from "./forms.ts";
import { isOf } from "./operation.ts";

/** @returns their names */
export function testsOf(tests: readonly CarriedTest[], method: string, form: Form): readonly string[] {
  return tests.flatMap(({ test: { name, request } }) => {
    const path = pathOf(request.path);
    const fits = form.closer ? path === form.example : isOf(form.path, path);
    return fits && (request.method ?? "GET") === method ? [name] : [];
  });
}

function pathOf(target: string): string {
  const [path = ""] = target.split("?", 1);
  try {
    return normalisePath(path);
  } catch (error) {
    if (error instanceof PathError) return path;
    throw error;
  }
}
