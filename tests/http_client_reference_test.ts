/**
 * The examples of RFC 3986 §5.4: relative references in a Location, against the base
 * `http://HOST/b/c/d;p?q`. A request has no fragment, so `%{redirect_url}` has none either.
 *
 * @module
 */
import { testRows, to } from "./http_client_helpers.ts";

/** Normal examples (§5.4.1), and the path and query that each leads to. */
const NORMAL: Record<string, string> = {
  "g": "/b/c/g",
  "./g": "/b/c/g",
  "g/": "/b/c/g/",
  "/g": "/g",
  "?y": "/b/c/d;p?y",
  "g?y": "/b/c/g?y",
  "#s": "/b/c/d;p?q",
  "g#s": "/b/c/g",
  "g?y#s": "/b/c/g?y",
  ";x": "/b/c/;x",
  "g;x": "/b/c/g;x",
  "g;x?y#s": "/b/c/g;x?y",
  ".": "/b/c/",
  "./": "/b/c/",
  "..": "/b/",
  "../": "/b/",
  "../g": "/b/g",
  "../..": "/",
  "../../": "/",
  "../../g": "/g",
};

/** Abnormal examples (§5.4.2). */
const ABNORMAL: Record<string, string> = {
  "../../../g": "/g",
  "../../../../g": "/g",
  "/./g": "/g",
  "/../g": "/g",
  "g.": "/b/c/g.",
  ".g": "/b/c/.g",
  "g..": "/b/c/g..",
  "..g": "/b/c/..g",
  "./../g": "/b/g",
  "./g/.": "/b/c/g/",
  "g/./h": "/b/c/g/h",
  "g/../h": "/b/c/h",
  "g;x=1/./y": "/b/c/g;x=1/y",
  "g;x=1/../y": "/b/c/y",
  "g?y/./x": "/b/c/g?y/./x",
  "g?y/../x": "/b/c/g?y/../x",
  "g#s/./x": "/b/c/g",
  "g#s/../x": "/b/c/g",
};

/** Whole URLs, in forms that are equal (§6.2.2, §6.2.3). */
const EQUAL: Record<string, string> = {
  "//g": "http://g/",
  "HTTP://g/": "http://g/",
  "http://G.Example/": "http://g.example/",
  "http://g:/": "http://g/",
  "http://g:80/": "http://g/",
  "http://g:81/": "http://g:81/",
  "http://g?y": "http://g/?y",
};

/** References that no request can be made from. */
const UNUSABLE = ["g:h", "http:g", "http:///g", "//[v1.x]/", "//[::g]/", "//g:65536/"];

function row(section: string, reference: string, result: string) {
  return {
    rule: `RFC 3986 ${section}: ${reference} leads to ${result || "no request"}`,
    sends: [[to(reference)]],
    args: ["-w", "%{redirect_url}", "URLb/c/d;p?q"],
    out: result.startsWith("/")
      ? new RegExp(`^http://127\\.0\\.0\\.1:\\d+${RegExp.escape(result)}$`)
      : result,
  };
}

testRows([
  ...Object.entries(NORMAL).map(([reference, path]) => row("§5.4.1", reference, path)),
  ...Object.entries(ABNORMAL).map(([reference, path]) => row("§5.4.2", reference, path)),
  ...Object.entries(EQUAL).map(([reference, url]) => row("§6.2.2", reference, url)),
  ...UNUSABLE.map((reference) => row("§4.3", reference, "")),
]);
