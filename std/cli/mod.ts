/**
 * Reads the command line and asks for secrets.
 *
 * @module
 */
export * from "./parse_args.ts";
export * from "./prompt_secret.ts";
