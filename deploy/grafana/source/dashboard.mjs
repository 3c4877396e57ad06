// A dashboard: rows of panels, set side by side from the top, with the variables that every query of them uses.

// What every series is chosen by.
export const CHOSEN = 'job=~"$job", instance=~"$instance"';

// The shape of the JSON, that of Grafana 10.4 and 11; newer servers bring it up to date themselves.
const SCHEMA = 39;
const COLUMNS = 24;

// `instances` is the variable of that name, since one dashboard is about all of them and one about a single one.
export function dashboard({ uid, title, description, instances, rows }) {
    return {
        uid,
        title,
        description,
        tags: ['weir'],
        schemaVersion: SCHEMA,
        version: 1,
        editable: true,
        graphTooltip: 1, // One crosshair through all panels: what happened at the same time is seen at once.
        refresh: '30s',
        time: { from: 'now-1h', to: 'now' },
        timezone: 'browser',
        links: links(),
        annotations: { list: [starts(), drains()] },
        templating: { list: [datasource(), job(), instances, runbooks()] },
        panels: laidOut(rows),
    };
}

export const SOURCE = { type: 'prometheus', uid: '${datasource}' };

const ALL = { multi: true, includeAll: true, allValue: '.+', current: { selected: true, text: 'All', value: '$__all' } };
const INSTANCES = choice('instance', 'label_values(weir_build_info{job=~"$job"}, instance)');

export const everyInstance = { ...INSTANCES, ...ALL };
export const oneInstance = { ...INSTANCES, multi: false, includeAll: false, current: {} };

function datasource() {
    const prometheus = { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' };
    return { ...prometheus, regex: '', multi: false, includeAll: false, refresh: 1, hide: 0, current: {}, options: [] };
}

function job() {
    return { ...choice('job', 'label_values(weir_build_info, job)'), ...ALL };
}

function choice(name, query) {
    return {
        name,
        label: name[0].toUpperCase() + name.slice(1),
        type: 'query',
        datasource: SOURCE,
        definition: query,
        query: { query, refId: name },
        refresh: 2, // With the time range, so that instances that are gone can still be chosen for the time they lived.
        sort: 1,
        regex: '',
        hide: 0,
        options: [],
    };
}

// Where the runbooks are, in one place: a fork or a mirror changes this one value.
function runbooks() {
    const query = 'https://git.example.com/weir/blob/main/docs/runbooks';
    const current = { selected: true, text: query, value: query };
    return { name: 'runbooks', label: 'Runbooks', type: 'constant', query, hide: 2, current, options: [current] };
}

function links() {
    const link = { icon: 'external link', includeVars: true, keepTime: true, targetBlank: false, asDropdown: false };
    return [
        { ...link, type: 'dashboards', title: 'weir', tags: ['weir'], tooltip: 'The other dashboards of weir', url: '' },
        { ...link, type: 'link', title: 'Runbooks', icon: 'doc', tags: [], tooltip: 'What to do', url: '${runbooks}', includeVars: false, keepTime: false, targetBlank: true },
    ];
}

function starts() {
    // An instance is marked for the first minute of its life: one that was away for longer than a range has no change in it.
    return annotation('Starts', 'blue', `time() - process_start_time_seconds{${CHOSEN}} < 60`, 'started');
}

function drains() {
    return annotation('Draining', 'purple', `weir_draining{${CHOSEN}} == 1`, 'drains');
}

function annotation(name, iconColor, expr, verb) {
    const look = { enable: true, hide: false, iconColor, titleFormat: `{{instance}} ${verb}`, tagKeys: 'instance' };
    return { name, datasource: SOURCE, ...look, expr, target: { expr, refId: name, legendFormat: '' } };
}

// Panels of one line that are not of one width.
export function widths(columns, panels) {
    return panels.map((panel, at) => ({ ...panel, width: columns[at] }));
}

function laidOut(rows) {
    const panels = [];
    let y = 0;
    const add = (panel, place) => panels.push({ id: panels.length + 1, ...panel, gridPos: place });
    for (const { title, lines } of rows) {
        add({ type: 'row', title, collapsed: false, panels: [] }, { x: 0, y, w: COLUMNS, h: 1 });
        y += 1;
        for (const line of lines) {
            const height = line[0].height;
            let x = 0;
            for (const { width, height: _, ...panel } of line) {
                const w = width ?? COLUMNS / line.length;
                add(panel, { x, y, w, h: height });
                x += w;
            }
            y += height;
        }
    }
    return panels;
}
