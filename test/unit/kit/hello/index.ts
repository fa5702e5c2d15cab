// The hello plugin: greets whoever asks.
import { definePlugin, type Hooks, z } from "outrigger/plugin";

export const plugin = definePlugin({
  name: "hello",
  version: "0.1.0",
  apiVersion: 1,
  priority: 30,
  security: false,
  failMode: "open",
  options: z.strictObject({
    greeting: z.string().max(200).default("hello").describe("What X-Greeting says."),
    refuse: z.array(z.string()).default([]).describe("Methods that are answered 405."),
  }),

  // Once for each route and policy: what can be made here need not be made for each request.
  setup({ options, services, route }): Hooks {
    const refused = new Set(options.refuse);
    const total = services.metrics.counter("outrigger_hello_total", "Answers that greet", ["route"]);
    const greeted = total(route.pattern);
    return {
      onRequest({ request }) {
        if (!refused.has(request.method)) return undefined;
        return { action: "respond", status: 405, fields: ["Allow", "GET"], body: "" };
      },
      onResponse(_exchange, response) {
        response.fields.set("X-Greeting", options.greeting);
        greeted.inc();
      },
    };
  },
});
