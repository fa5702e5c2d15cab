// Reads sizes in policies: whole bytes, as the names of such options say (`maxBodyBytes`).
import { z } from "zod";
import { term } from "./terms.ts";

export function byteSize(min: number, max: number): z.ZodInt {
  return term("byte size", z.int().min(min).max(max));
}
