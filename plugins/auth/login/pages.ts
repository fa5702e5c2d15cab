// Builds the pages that users see during login and logout: small, without scripts or styles, never inside another page.
import type { RespondVerdict } from "../../../src/plugin-api/contract.ts";

function page(title: string, content: string, ...fields: string[]): RespondVerdict {
  const body = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
${content}
</html>
`;
  const all = ["Content-Type", "text/html; charset=utf-8", "Cache-Control", "no-store"];
  // `form-action` is not set, as it would also stop the redirect to the provider after the form is sent.
  all.push("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'");
  all.push("X-Frame-Options", "DENY", ...fields);
  return { action: "respond", status: 200, fields: all, body };
}

export const logoutPage = page(
  "Log out",
  '<form method="post"><p>Do you want to log out?</p><button autofocus>Log out</button></form>',
);

/**
 * @returns a page that waits for another tab's login
 * @param address path to go on to, percent-encoded
 */
export function waitingPage(address: string): RespondVerdict {
  return page(
    "Logging in",
    "<p>Another tab is logging in. This one goes on in a moment.</p>",
    "Refresh",
    `1; url=${address}`,
  );
}
