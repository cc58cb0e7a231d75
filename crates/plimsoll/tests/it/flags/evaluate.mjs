// Evaluates `cases.json` with OpenFeature's SDK and its OFREP provider; says what differs. Arguments: the folder that has
// the packages, the URL, the file.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

const [folder, url, file] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { OpenFeature } = require("@openfeature/server-sdk");
const { OFREPProvider } = require("@openfeature/ofrep-provider");

const headers = [["Authorization", "Bearer flags-secret"]];
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
const client = OpenFeature.getClient();
const methods = { boolean: "Boolean", string: "String", integer: "Number", float: "Number", object: "Object" };
const cases = JSON.parse(readFileSync(file, "utf8"));
let differs = 0;
for (const wanted of cases) {
  const given = await client[`get${methods[wanted.type]}Details`](wanted.flag, wanted.default, wanted.context);
  const seen = { value: given.value, error: given.errorCode };
  // There is no value, and versions of providers differ in how they say it: the code's own default counts.
  if (wanted.error === undefined && wanted.variant === undefined) delete seen.error;
  if (wanted.variant !== undefined) Object.assign(seen, { variant: given.variant, reason: given.reason });
  if (wanted.metadata !== undefined) seen.metadata = { ...given.flagMetadata };
  const expected = Object.fromEntries(Object.keys(seen).map((name) => [name, wanted[name]]));
  if (!isDeepStrictEqual(seen, expected)) {
    differs += 1;
    console.log(wanted.flag, wanted.context, seen, "not", expected);
  }
}
console.log(`${cases.length} evaluated, ${differs} differ`);
