// Finds the tests of a policy that ask for an operation.
import { type CarriedTest, pathOf } from "../policy/layers/carried-tests.ts";
import type { Form } from "./forms.ts";
import type { Owners } from "./owners.ts";
import { isOf, type Operation } from "./operation.ts";

/** @param operation the operation to which the form belongs @returns names of the tests */
export function testsOf(
  tests: readonly CarriedTest[],
  { method, path: template }: Operation,
  form: Form,
  owners: Owners,
): readonly string[] {
  const own = (path: string): boolean =>
    isOf(form.path, path) && owners.isOwn(method, form.prefix ?? "", template, path);
  return tests.flatMap(({ test: { name, request } }) => {
    const path = pathOf(request.path);
    const fits = form.closer ? path === form.example : own(path);
    return fits && (request.method ?? "GET") === method ? [name] : [];
  });
}
