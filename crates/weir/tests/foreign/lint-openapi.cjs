// Says what a linter that others wrote has against a description: one line for each finding.
// usage: lint-openapi.cjs FILE
const { createConfig, lint } = require("@redocly/openapi-core");

(async () => {
  const config = await createConfig({ extends: ["recommended-strict"] });
  for (const { ruleId, message, location } of await lint({ ref: process.argv[2], config })) {
    console.log(`${ruleId}: ${message} at ${location[0].pointer}`);
  }
})();
