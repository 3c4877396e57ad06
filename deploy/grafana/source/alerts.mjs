// The bounds at which the alerts begin, read from the alerts, so that a panel turns red where one fires.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = join(import.meta.dirname, '../../prometheus/weir-alerts.yaml');
const RULES = readFileSync(FILE, 'utf8').split('- alert: ').slice(1);

// What a series is compared with in the rules of an alert, the least first.
export function bounds(alert, series) {
    const expressions = RULES.filter((rule) => rule.startsWith(`${alert}\n`)).map((rule) => rule.split('labels:')[0]);
    const found = expressions.flatMap((text) => [...text.matchAll(new RegExp(`\\b${series}\\b[^>\\n]*> ([\\d.]+)`, 'g'))]);
    if (found.length === 0) throw new Error(`${alert} compares ${series} with nothing`);
    return found.map(([, bound]) => Number(bound)).sort((one, other) => one - other);
}
