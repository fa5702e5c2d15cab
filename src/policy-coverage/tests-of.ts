// Tests of a policy that ask for an operation.
import { type CarriedTest, pathOf } from "../policy/layers/carried-tests.ts";
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
