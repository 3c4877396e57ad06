// Writes the dashboards as JSON: `node write.mjs` into ../dashboards, `node write.mjs FOLDER` into another.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { instance } from './instance.mjs';
import { overview } from './overview.mjs';

const folder = process.argv[2] ?? join(import.meta.dirname, '../dashboards');
for (const dashboard of [overview, instance]) {
    writeFileSync(join(folder, `${dashboard.uid}.json`), JSON.stringify(dashboard, null, 2) + '\n');
}
