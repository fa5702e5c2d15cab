// The respond plugin: answers in place of the service, with what the policy says.
import {
  compileMethods,
  definePlugin,
  type Hooks,
  type RespondVerdict,
} from "../../src/plugin-api/contract.ts";
import { type RespondOptions, respondOptions } from "./options.ts";

function answerOf({ status, headers, contentType, body, retryAfterSeconds }: RespondOptions): RespondVerdict {
  const fields = [
    ...Object.entries(headers).flat(),
    ...(retryAfterSeconds === undefined ? [] : ["Retry-After", String(retryAfterSeconds)]),
  ];
  if (body === "") return { action: "respond", status, fields };
  const whole = Buffer.from(body);
  return { action: "respond", status, fields: [...fields, "Content-Type", contentType], body: whole };
}

export const respond = definePlugin({
  name: "respond",
  version: "1.0.0",
  apiVersion: 1,
  // After cors, so that a page may read the answer; before auth, as health and maintenance answers need no credential.
  priority: 9,
  security: false,
  // A service in maintenance must not get a request whose path is merely spelled as another route's.
  refuses: true,
  failMode: "closed",
  options: respondOptions,
  lint: async () => (await import("./lint.ts")).lint,

  setup({ options }): Hooks {
    const answer = answerOf(options);
    const { methods } = options.when;
    if (methods.length === 0) return { onRequest: () => answer };
    const answered = compileMethods(methods);
    return { onRequest: ({ request }) => (answered.has(request.method) ? answer : undefined) };
  },
});
