// The kinds of panels. What a panel says of itself has three parts: what it shows, what is normal, and what to do otherwise.
import { SOURCE } from './dashboard.mjs';

const GREEN = 'green';
const PALETTE = { mode: 'palette-classic' };

// A number as it is now: over a range the newest that is known would stand there, however old. `steps` are the bounds from
// which on it is no longer well, `unknown` what is said where there is none.
export function stat(spec) {
    const queries = spec.queries.map((query) => ({ ...query, instant: true, range: false }));
    return panel({ ...spec, queries }, 'stat', {
        height: 4,
        fieldConfig: { defaults: { ...defaults(spec), thresholds: thresholds(spec.steps ?? []) }, overrides: [] },
        options: {
            colorMode: spec.fixed ? 'value' : 'background',
            graphMode: 'none',
            justifyMode: 'auto',
            orientation: 'auto',
            textMode: spec.textMode ?? 'auto',
            wideLayout: true,
            text: { valueSize: 30 },
            reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        },
    });
}

// What was 0 all the time would only make the legend hard to read: there are up to two dozen reasons. It is still drawn, so
// that a panel in which nothing happened has its axis.
const ZEROS_HIDDEN = {
    matcher: { id: 'byValue', options: { reducer: 'allIsZero', op: 'gte', value: 0 } },
    properties: [{ id: 'custom.hideFrom', value: { legend: true, tooltip: true, viz: false } }],
};

// Lines over time; `bars` and `stacked` for what adds up, `many` where most of the series are usually 0.
export function graph(spec) {
    const custom = {
        drawStyle: spec.bars ? 'bars' : 'line',
        lineInterpolation: spec.stepped ? 'stepAfter' : 'linear',
        lineWidth: 1,
        fillOpacity: spec.bars ? 80 : spec.stacked ? 40 : 8,
        gradientMode: 'none',
        showPoints: 'never',
        spanNulls: false,
        axisPlacement: 'auto',
        axisSoftMin: 0,
        scaleDistribution: { type: 'linear' },
        stacking: { mode: spec.stacked ? 'normal' : 'none', group: 'A' },
        thresholdsStyle: { mode: spec.steps ? 'dashed' : 'off' },
        ...(spec.softMax && { axisSoftMax: spec.softMax }),
    };
    return panel(spec, 'timeseries', {
        height: 7,
        fieldConfig: {
            defaults: { ...defaults(spec), custom, color: PALETTE, thresholds: thresholds(spec.steps ?? []) },
            overrides: [...Object.entries(spec.colors ?? {}).map(([name, color]) => colored(name, color)), ...(spec.bars || spec.many ? [ZEROS_HIDDEN] : [])],
        },
        options: {
            legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
            tooltip: { mode: 'multi', sort: 'desc' },
        },
    });
}

// One line for each `by`, put together from several queries; `columns` are `[letter of the query, or label, name, settings]`.
export function table(spec) {
    const { columns } = spec;
    const key = ([source]) => (/^[A-Z]$/.test(source) ? `Value #${source}` : source);
    const queries = spec.queries.map((query) => ({ ...query, instant: true, range: false, format: 'table' }));
    const shown = columns.map(key);
    return panel({ ...spec, queries }, 'table', {
        height: spec.height,
        fieldConfig: {
            defaults: { ...defaults(spec), custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: false }, thresholds: thresholds([]) },
            overrides: columns.map(([, name, settings]) => override(name, settings)),
        },
        options: { showHeader: true, cellHeight: 'sm', footer: { show: false, reducer: ['sum'], countRows: false, fields: '' }, sortBy: [{ displayName: spec.sortBy, desc: false }] },
        transformations: [
            { id: 'merge', options: {} },
            { id: 'filterFieldsByName', options: { include: { names: shown } } },
            {
                id: 'organize',
                options: {
                    excludeByName: {},
                    indexByName: Object.fromEntries(shown.map((name, at) => [name, at])),
                    renameByName: Object.fromEntries(columns.map((column) => [key(column), column[1]])),
                },
            },
        ],
    });
}

// One query, and the name of each of its series.
export function query(expr, legendFormat = '{{instance}}') {
    return { expr, legendFormat };
}

// From `value` on a colour: orange for "look soon", red for "look now".
export const step = (value, color) => ({ value, color });

export const states = (entries) => [
    { type: 'value', options: Object.fromEntries(entries.map(([value, text, color], index) => [value, { text, color, index }])) },
];

// What is said where there is no number, or none that is known. It has a colour of its own: the usual one would say that all is well.
export const unknown = (text, color) => ({ type: 'special', options: { match: 'null+nan', result: { text, color, index: 9 } } });

function panel(spec, type, rest) {
    const { title, shows, normal, otherwise, width, runbooks = [], queries } = spec;
    return {
        type,
        title,
        description: `${shows}\n\n**Normal:** ${normal}\n\n**Otherwise:** ${otherwise}`,
        datasource: SOURCE,
        links: runbooks.map((name) => ({ title: `Runbook: ${name}`, url: `\${runbooks}/${name}.md`, targetBlank: true })),
        targets: queries.map((query, at) => ({
            datasource: SOURCE,
            refId: String.fromCharCode('A'.charCodeAt(0) + at),
            editorMode: 'code',
            instant: false,
            range: true,
            ...query,
        })),
        width,
        ...rest,
    };
}

function defaults({ unit, decimals, noValue, mappings, steps, max, fixed }) {
    return {
        unit,
        min: 0,
        ...(max !== undefined && { max }),
        ...(decimals !== undefined && { decimals }),
        ...(noValue && { noValue }),
        mappings: mappings ?? [],
        color: fixed ? { mode: 'fixed', fixedColor: fixed } : steps || mappings ? { mode: 'thresholds' } : PALETTE,
        links: [],
    };
}

function thresholds(steps) {
    return { mode: 'absolute', steps: [step(null, GREEN), ...steps] };
}

function colored(name, color) {
    return { matcher: { id: 'byName', options: name }, properties: [{ id: 'color', value: { mode: 'fixed', fixedColor: color } }] };
}

function override(name, { unit, decimals, width, mappings, steps, link } = {}) {
    const properties = [];
    const set = (id, value) => value !== undefined && properties.push({ id, value });
    set('unit', unit);
    set('decimals', decimals);
    set('custom.width', width);
    set('mappings', mappings);
    set('thresholds', steps && thresholds(steps));
    if (steps || mappings) set('custom.cellOptions', { type: 'color-text' });
    if (steps || mappings) set('color', { mode: 'thresholds' });
    set('links', link && [link]);
    return { matcher: { id: 'byName', options: name }, properties };
}
