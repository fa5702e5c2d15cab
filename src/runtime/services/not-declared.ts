// The refusal of what a plugin's definition does not declare.

/** Tells whoever reads the log what to declare, or what to ask the plugin's author. */
export class NotDeclared extends Error {
  override readonly name = "NotDeclared";

  /** @param what e.g. `the key "apikey:…"` @param member of the definition's `needs` */
  constructor(plugin: string, what: string, member: string) {
    super(`plugin "${plugin}" uses ${what}, which its definition does not declare (needs.${member})`);
  }
}
