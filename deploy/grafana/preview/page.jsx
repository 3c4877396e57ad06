// A dashboard in the browser: what Grafana's server would do around Grafana's own panels, and no more than these dashboards need.
import {
    FieldConfigOptionsRegistry, FieldType, ThemeContext, applyFieldOverrides, cacheFieldDisplayNames, createTheme, dateTime,
    getFieldDisplayValues, getValueFormats, standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame,
} from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, PanelContextProvider, PortalContainer, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { NEVER, firstValueFrom } from 'rxjs';

// The grid of Grafana: 24 columns, rows of 30 pixels, 8 between them.
const [COLUMNS, CELL, GAP] = [24, 30, 8];
const UTC = 'utc';

const { model } = window;
const theme = createTheme({ colors: { mode: model.theme } });
const range = { from: dateTime(model.from * 1000), to: dateTime(model.to * 1000), raw: { from: 'now', to: 'now' } };
const empty = [];
const same = (value) => value;
const quiet = { getStream: () => NEVER, publish() {}, subscribe: () => NEVER.subscribe(), removeAllListeners() {}, newScopedBus: () => quiet };
const units = new Set(getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value)));

for (const id of ['merge', 'filterFieldsByName', 'organize']) {
    const transformation = Object.values(standardTransformers).find((one) => one.id === id);
    standardTransformersRegistry.register({ id, name: id, transformation: async () => transformation });
}

main();

async function main() {
    const panels = await Promise.all(model.dashboard.panels.map(async (panel) => [panel, panel.targets && (await frames(panel))]));
    createRoot(document.getElementById('root')).render(<Dashboard panels={panels} />);
}

function Dashboard({ panels }) {
    const bottom = Math.max(...panels.map(([{ gridPos: { y, h } }]) => y + h)) * (CELL + GAP);
    const head = 56;
    useEffect(() => {
        window.drawn = { height: head + bottom + GAP, empty };
    }, []);
    return (
        <ThemeContext.Provider value={theme}>
            <GlobalStyles />
            <div style={{ position: 'relative', height: head + bottom + GAP, background: theme.colors.background.canvas, fontFamily: 'Inter' }}>
                <Head height={head} />
                {panels.map(([panel, data]) => (
                    <Place key={panel.id} at={panel.gridPos} top={head}>
                        {(width, height) => (data ? <Panel {...{ panel, data, width, height }} /> : <Row title={panel.title} />)}
                    </Place>
                ))}
            </div>
            <PortalContainer />
        </ThemeContext.Provider>
    );
}

function Head({ height }) {
    const chosen = [['Data source', 'Prometheus'], ['Job', shown(model.variables.job)], ['Instance', shown(model.variables.instance)]];
    const box = { border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, padding: '5px 8px', background: theme.components.input.background };
    const span = `${range.from.utc().format('HH:mm:ss')} to ${range.to.utc().format('HH:mm:ss')}`;
    return (
        <div style={{ height, padding: '0 16px', display: 'flex', alignItems: 'center', gap: 8, fontSize: 12, color: theme.colors.text.primary }}>
            <span style={{ fontSize: 18, fontWeight: 500, marginRight: 16 }}>{model.dashboard.title}</span>
            {chosen.map(([label, value]) => (
                <span key={label} style={{ display: 'flex' }}>
                    <span style={{ ...box, background: theme.colors.background.secondary, fontWeight: 500 }}>{label}</span>
                    <span style={box}>{value}</span>
                </span>
            ))}
            <span style={{ ...box, marginLeft: 'auto' }}>{span}</span>
        </div>
    );
}

const shown = (value) => (value === '.+' ? 'All' : value);

function Place({ at, top, children }) {
    const column = (model.width - 2 * GAP - (COLUMNS - 1) * GAP) / COLUMNS;
    const [width, height] = [at.w * (column + GAP) - GAP, at.h * (CELL + GAP) - GAP];
    const style = { position: 'absolute', left: GAP + at.x * (column + GAP), top: top + at.y * (CELL + GAP), width, height };
    return <div style={style}>{children(width, height)}</div>;
}

function Row({ title }) {
    return <div style={{ fontWeight: 500, lineHeight: `${CELL}px`, paddingLeft: 8, color: theme.colors.text.primary }}>⌄ {title}</div>;
}

function Panel({ panel, data, width, height }) {
    const Kind = { stat: Stat, timeseries: Graph, table: Table }[panel.type];
    return (
        <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
            {(width, height) => <Kind {...{ panel, data, width, height }} />}
        </PanelChrome>
    );
}

function Stat({ panel, data, width, height }) {
    const { fieldConfig, options } = panel;
    const sparkline = options.graphMode !== 'none';
    const values = getFieldDisplayValues({ data, fieldConfig, reduceOptions: options.reduceOptions, sparkline, theme, timeZone: UTC, replaceVariables: same });
    const text = (value) => {
        const { textMode, ...display } = value.display;
        return options.textMode === 'name' ? { ...display, text: display.title, prefix: '', suffix: '' } : display;
    };
    const one = (value, width, height) => (
        <BigValue {...{ width, height, theme }} value={text(value)} sparkline={value.sparkline} colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode} text={options.text} textMode={values.length > 1 ? 'value_and_name' : 'value'} />
    );
    return <VizRepeater {...{ width, height }} source={values} autoGrid orientation={options.orientation} getValues={() => values} renderValue={({ value, width, height }) => one(value, width, height)} />;
}

function Graph({ panel, data, width, height }) {
    if (data.length === 0) return <Nothing />;
    return (
        <PanelContextProvider value={{ eventsScope: 'preview', eventBus: quiet, eventsBus: quiet, sync: () => 0 }}>
            <TimeSeries frames={data} structureRev={1} timeRange={range} timeZone={UTC} theme={theme} width={width} height={height} legend={panel.options.legend} options={panel.options}>
                {(config) => (config.addHook('draw', marked), null)}
            </TimeSeries>
        </PanelContextProvider>
    );
}

function Table({ panel, data, width, height }) {
    if (data.length === 0 || data[0].length === 0) return <Nothing text={panel.fieldConfig.defaults.noValue} />;
    return <TableNG {...{ width, height }} data={data[0]} cellHeight={panel.options.cellHeight} sortBy={panel.options.sortBy} fieldConfig={panel.fieldConfig} timeRange={range} />;
}

function Nothing({ text = 'No data' }) {
    return <div style={{ height: '100%', display: 'flex', alignItems: 'center', justifyContent: 'center', color: theme.colors.text.secondary }}>{text}</div>;
}

// When something happened, as Grafana marks it: a dashed line at its beginning, and where it lasts one at its end.
function marked(plot) {
    const { left, top, width, height } = plot.bbox;
    for (const { iconColor, series } of model.answers.notes) {
        for (const time of series.flatMap(({ values }) => edges(values.map(([time]) => time)))) {
            const x = plot.valToPos(time * 1000, 'x', true);
            if (x < left || x > left + width) continue;
            plot.ctx.save();
            plot.ctx.strokeStyle = theme.visualization.getColorByName(iconColor);
            plot.ctx.setLineDash([4, 4]);
            plot.ctx.beginPath();
            plot.ctx.moveTo(x, top);
            plot.ctx.lineTo(x, top + height);
            plot.ctx.stroke();
            plot.ctx.restore();
        }
    }
}

const edges = (times) => times.filter((time, at) => at === 0 || time - times[at - 1] > 2 * model.step);

// What the data source and the server make of an answer of Prometheus.
async function frames(panel) {
    const { unit } = panel.fieldConfig.defaults;
    if (!units.has(unit) && !unit.startsWith('suffix:')) throw new Error(`${panel.title}: no unit ${unit}`);
    const answers = model.answers.panels[panel.id];
    if (answers.every((series) => series.length === 0)) empty.push(...panel.targets.map(({ expr }) => expr));
    const several = panel.targets.length > 1;
    let data = panel.targets.flatMap((target, at) => (target.format === 'table' ? tableFrame(target, answers[at], several) : graphFrames(target, answers[at])));
    if (panel.transformations) data = await firstValueFrom(transformDataFrame(panel.transformations, data, { interpolate: same }));
    data = applyFieldOverrides({ data, fieldConfig: structuredClone(panel.fieldConfig), fieldConfigRegistry: settings(panel), replaceVariables: same, theme, timeZone: UTC });
    cacheFieldDisplayNames(data);
    return data;
}

function graphFrames({ refId, legendFormat }, answer) {
    return answer.map(({ metric, values, value }) => {
        const known = new Map(values ?? [value]);
        // Where there is no point there is a hole, not a line across it.
        const times = value ? [model.to] : Array.from({ length: Math.floor((model.to - model.from) / model.step) + 1 }, (_, nth) => model.from + nth * model.step);
        return toDataFrame({
            refId,
            fields: [
                { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000), config: {} },
                { name: 'Value', type: FieldType.number, values: times.map((time) => (known.has(time) ? Number(known.get(time)) : null)), labels: metric, config: { displayNameFromDS: legendFormat.replace(/{{(\w+)}}/g, (_, label) => metric[label]) } },
            ],
        });
    });
}

function tableFrame({ refId }, answer, several) {
    const labels = [...new Set(answer.flatMap(({ metric }) => Object.keys(metric)))];
    const column = (name, type, of) => ({ name, type, values: answer.map(of), config: {} });
    const value = column(several ? `Value #${refId}` : 'Value', FieldType.number, (one) => Number(one.value[1]));
    const texts = labels.map((label) => column(label, FieldType.string, ({ metric }) => metric[label]));
    return [toDataFrame({ refId, fields: [column('Time', FieldType.time, (one) => one.value[0] * 1000), ...texts, value] })];
}

// Which settings of a field there are. Grafana lists them in its server's part; these are those that the dashboards set.
function settings({ fieldConfig: { defaults } }) {
    const setting = (id, path, isCustom) => ({ id, path, isCustom, name: id, process: same, shouldApply: () => true });
    const usual = ['unit', 'min', 'max', 'decimals', 'noValue', 'color', 'mappings', 'thresholds', 'links'];
    const custom = new Set([...Object.keys(defaults.custom ?? {}), 'width', 'cellOptions', 'hideFrom']);
    return new FieldConfigOptionsRegistry(() => [...usual.map((id) => setting(id, id, false)), ...[...custom].map((id) => setting(`custom.${id}`, id, true))]);
}
