// Draws dashboards as they would look in Grafana: `node draw.cjs JOB`, where JOB is JSON,
//   { prometheus, dashboards, pictures: [{ file, uid, theme, from, to, rows, variables }] }
// with times in seconds. What stands in the JSON of a dashboard is asked of that Prometheus, put into pages by page.jsx with
// the panels of Grafana's own library, and photographed. Prints a line of JSON for each picture: the queries of
// panels that stayed empty, and what went wrong.
const { execFileSync } = require('node:child_process');
const { readFileSync, mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { build } = require('esbuild');
const { chromium } = require('playwright-core');

const ORIGIN = 'http://preview.invalid';
const WIDTH = 1500;
const SCRAPES = 1; // seconds between them
const PATIENCE = 90_000; // milliseconds: the machine may be busy with other things
const POINTS = 300; // about as many as a panel has columns of pixels

main(JSON.parse(process.argv[2])).catch((error) => {
    console.error(error);
    process.exit(1);
});

async function main(job) {
    const folder = mkdtempSync(join(tmpdir(), 'weir-preview-'));
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'] });
    try {
        await bundle(folder);
        for (const picture of job.pictures) {
            console.log(JSON.stringify(await draw(browser, folder, job, picture)));
        }
    } finally {
        await browser.close();
        rmSync(folder, { recursive: true });
    }
}

async function bundle(folder) {
    const asset = 'dataurl';
    await build({
        entryPoints: [join(__dirname, 'page.jsx')],
        outfile: join(folder, 'page.js'),
        bundle: true,
        format: 'iife',
        jsx: 'automatic',
        nodePaths: [process.env.NODE_PATH],
        loader: { '.svg': asset, '.png': asset, '.woff': asset, '.woff2': asset, '.ttf': asset },
        define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
        logLevel: 'error',
    });
}

async function draw(browser, folder, job, picture) {
    const dashboard = JSON.parse(readFileSync(join(job.dashboards, `${picture.uid}.json`)));
    const model = { ...picture, dashboard: cut(dashboard, picture.rows), width: WIDTH };
    model.step = Math.max(SCRAPES, Math.ceil((picture.to - picture.from) / POINTS));
    model.answers = await answers(job.prometheus, model);
    const wrong = [];
    const page = await browser.newPage({ viewport: { width: WIDTH, height: 600 } });
    page.setDefaultTimeout(PATIENCE);
    page.on('pageerror', (error) => wrong.push(String(error)));
    page.on('console', (line) => line.type() === 'error' && wrong.push(line.text()));
    await page.addInitScript((model) => { window.model = model; }, model);
    await page.route(`${ORIGIN}/**`, serve);
    await page.goto(ORIGIN);
    await page.addStyleTag({ path: join(folder, 'page.css') });
    await page.addScriptTag({ path: join(folder, 'page.js') });
    const drawn = await page.waitForFunction(() => window.drawn).catch(() => {
        throw new Error(`${picture.file} is not drawn: ${wrong.join('\n') || 'it takes too long'}`);
    });
    const size = await drawn.jsonValue();
    const titles = await page.$$eval('h2', (all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent));
    wrong.push(...titles.map((title) => `no room for the title ${title}`));
    await page.setViewportSize({ width: WIDTH, height: size.height });
    // Two frames later all that was laid out anew is on the screen.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await page.waitForTimeout(300);
    await page.screenshot({ path: picture.file });
    await page.close();
    // 256 colours are enough for them, and a quarter of the bytes.
    execFileSync('pngquant', ['--force', '--strip', '--speed', '1', '--output', picture.file, '256', picture.file]);
    return { file: picture.file, empty: size.empty, wrong };
}

// An empty page, and beside it the icons that the library asks its server for.
function serve(route) {
    const icon = new URL(route.request().url()).pathname.match(/^\/public\/build\/(img\/icons\/[\w/-]+\.svg)$/);
    if (icon) return route.fulfill({ path: join(process.env.NODE_PATH, '@grafana/ui/dist/public', icon[1]) });
    return route.fulfill({ contentType: 'text/html', body: '<!doctype html><body style="margin: 0"><div id="root"></div>' });
}

// Some rows alone, from the first of two numbers up to the second.
function cut(dashboard, [first, end]) {
    const starts = dashboard.panels.flatMap((panel, at) => (panel.type === 'row' ? [at] : []));
    const panels = dashboard.panels.slice(starts[first], starts[end]);
    const top = panels[0].gridPos.y;
    return { ...dashboard, panels: panels.map((panel) => ({ ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y - top } })) };
}

async function answers(prometheus, { dashboard, variables, from, to, step }) {
    const fill = (expr) => filled(expr, variables, step);
    const panels = dashboard.panels.filter((panel) => panel.targets);
    const ask = ({ expr, instant }) =>
        instant
            ? asked(prometheus, 'query', { query: fill(expr), time: to })
            : asked(prometheus, 'query_range', { query: fill(expr), start: from, end: to, step });
    const ofPanels = panels.map(async (panel) => [panel.id, await Promise.all(panel.targets.map(ask))]);
    const notes = dashboard.annotations.list.map(async (note) => ({ ...note, series: await ask({ expr: note.expr }) }));
    return { panels: Object.fromEntries(await Promise.all(ofPanels)), notes: await Promise.all(notes) };
}

function filled(expr, variables, step) {
    const rate = `${Math.max(step + SCRAPES, 4 * SCRAPES)}s`;
    const values = { ...variables, __rate_interval: rate };
    return expr.replace(/\$(\w+)/g, (whole, name) => values[name] ?? whole);
}

async function asked(prometheus, path, parameters) {
    const answer = await fetch(`${prometheus}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) });
    const { status, error, data } = await answer.json();
    if (status !== 'success') throw new Error(`${parameters.query}: ${error}`);
    return data.result;
}
