// Imported before oidc-provider, which prints advice for production: in-memory storage and plain HTTP are what tests want.

function isAdvice(text: unknown): boolean {
  return typeof text === "string" && /oidc-provider (NOTICE|WARNING): /.test(text);
}
for (const method of ["info", "warn"] as const) {
  const print = console[method].bind(console);
  console[method] = (...values: unknown[]) => {
    if (!isAdvice(values[0])) print(...values);
  };
}
