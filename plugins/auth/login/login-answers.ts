// Builds the answers of the login's own pages.
import { GatewayError, type Verdict } from "../../../src/plugin-api/contract.ts";

export const tooLarge: Verdict = {
  action: "reject",
  error: new GatewayError(
    "internal_error",
    "The login succeeded, but its session is too large for cookies.",
    {
      fields: ["Cache-Control", "no-store"],
    },
  ),
};
export const onlyGet: Verdict = {
  action: "reject",
  error: new GatewayError("method_not_allowed", "This path takes GET.", { fields: ["Allow", "GET"] }),
};

export function redirectTo(
  location: string,
  cookies: readonly string[] = [],
  status: 302 | 303 = 302,
): Verdict {
  const fields = ["Location", location, "Cache-Control", "no-store"];
  for (const cookie of cookies) fields.push("Set-Cookie", cookie);
  return { action: "respond", status, fields };
}
