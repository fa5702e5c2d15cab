// What `plugin test` finds of one thing that it looked at.
export interface Finding {
  readonly what: string;
  readonly state: "ok" | "fail";
  readonly detail: string;
}

export const good = (what: string, detail: string): Finding => ({ what, state: "ok", detail });
export const bad = (what: string, detail: string): Finding => ({ what, state: "fail", detail });
