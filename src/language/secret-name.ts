// Names of secrets that a policy may refer to: `SECRET_X` is read from OUTRIGGER_SECRET_X or OUTRIGGER_SECRET_X_FILE.
import { z } from "zod";

export const secretName = z.string().regex(/^SECRET_[A-Z0-9_]+$/, "must be a name of the form SECRET_NAME");
