/**
 * Line charts as SVG text: no library, no script, no font of its own. The chart stands on a card with its own ground, light
 * or dark as the reader prefers, so it can be read on any page. The colours are after Okabe and Ito (2008), which
 * colour-blind people can tell apart; names stand beside the ends of their lines.
 *
 * Laws: equal charts give equal text; every text of the caller is escaped; a value that cannot be drawn (NaN, ∞, and on a
 * log axis what is not above 0) is a gap in its line and nothing else.
 */
import { shorten } from './table.ts';
import { type Axis, linearAxis, logAxis, plottable } from './ticks.ts';

// model

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly dashed?: boolean | undefined;
}

export interface LineChart {
  readonly title: string;
  /** With its unit: `step`, `time (s)`. */
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  readonly logY?: boolean | undefined;
  /** Pixels; 720 × 400 by default, at least 240 × 160. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
}

type Point = readonly [x: number, y: number];

/** A series on the page: its runs of neighbouring points, in pixels. */
interface Line {
  readonly name: string;
  readonly index: number;
  readonly dash: string;
  readonly runs: readonly (readonly Point[])[];
}

/** The plot's own rectangle, in pixels. */
interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

// text

/** Text for an element or an attribute: marks escaped, blanks made one space, characters that XML forbids replaced. */
export const escapeXml = (content: string): string =>
  content
    .replace(/\s+/g, ' ')
    .replace(/[\p{Cc}\p{Surrogate}\ufffe\uffff]/gu, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/'/g, '&#39;');

/** A coordinate to a tenth of a pixel. */
const px = (value: number): string => String(Math.round(value * 10) / 10);

const text = (x: number, y: number, style: string, content: string, anchor = 'start'): string =>
  `<text x="${px(x)}" y="${px(y)}" class="${style}" text-anchor="${anchor}">${escapeXml(content)}</text>`;

const segment = (style: string, x1: number, y1: number, x2: number, y2: number, more = ''): string =>
  `<line class="${style}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}"${more}/>`;

// colours

const light: readonly string[] = ['#0072b2', '#d55e00', '#009e73', '#c2649b', '#d39200', '#56b4e9', '#4d4d4d'];
const dark: readonly string[] = ['#3f9fdc', '#f5793a', '#1fb98f', '#e391c0', '#e9b23c', '#9ad4f5', '#b8c0c8'];

const colourRules = (colours: readonly string[]): string =>
  colours.map((c, i) => `.paca-chart .s${i}{stroke:${c}}.paca-chart .d${i}{fill:${c}}`).join('');

const groundRules = (card: string, edge: string, grid: string, axis: string, strong: string, soft: string): string =>
  `.paca-chart .card{fill:${card};stroke:${edge}}.paca-chart .grid{stroke:${grid}}.paca-chart .axis{stroke:${axis}}` +
  `.paca-chart .dot{stroke:${card}}.paca-chart .title,.paca-chart .name{fill:${strong}}.paca-chart .soft{fill:${soft}}`;

const styles =
  '.paca-chart{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:12px}' +
  '.paca-chart .title{font-size:15px;font-weight:600}.paca-chart .tick{font-variant-numeric:tabular-nums}' +
  '.paca-chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.paca-chart .dot{stroke-width:1.5}' +
  groundRules('#ffffff', '#d8dee4', '#e7eaee', '#8c959f', '#1f2328', '#57606a') +
  colourRules(light) +
  '@media (prefers-color-scheme:dark){' +
  groundRules('#14181d', '#30363d', '#272d34', '#6e7681', '#e6edf3', '#9ba5b0') +
  colourRules(dark) +
  '}';

// geometry

const lineHeight = 17;
const swatch = 20;
/** The mean advance of a character at 12 px, generously. */
const characterWidth = 6.7;

/** The least and greatest of the values, or 0 … 1 where there are none. */
const extent = (values: readonly number[]): readonly [number, number] =>
  values.length === 0 ? [0, 1] : [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];

/** Lists of neighbours that belong together. */
const groupNeighbours = <A>(
  items: readonly A[],
  together: (first: A, next: A) => boolean,
): readonly (readonly A[])[] => {
  const groups: A[][] = [];
  for (const item of items) {
    const group = groups.at(-1);
    if (group !== undefined && together(group[0] as A, item)) group.push(item);
    else groups.push([item]);
  }
  return groups;
};

/** The runs of points that can be drawn, cut at those that cannot. */
const cutRuns = (points: readonly Point[], drawable: (p: Point) => boolean): readonly (readonly Point[])[] =>
  groupNeighbours(points, (first, next) => drawable(first) === drawable(next)).filter(([p]) => drawable(p as Point));

/** Of neighbours within one pixel column the first, lowest, highest and last: all that the eye can see of them. */
const thin = (points: readonly Point[]): readonly Point[] =>
  groupNeighbours(points, ([x], [next]) => Math.floor(x) === Math.floor(next)).flatMap((column) => {
    const heights = column.map(([, y]) => y);
    const [low, high] = extent(heights);
    const keep = new Set([0, heights.indexOf(low), heights.indexOf(high), column.length - 1]);
    return column.filter((_, i) => keep.has(i));
  });

/** The wished heights, moved apart by a line's height (or less where they are too many), in their order. */
const spread = (wished: readonly number[], top: number, bottom: number): readonly number[] => {
  const last = wished.length - 1;
  const gap = Math.min(lineHeight, (bottom - top) / Math.max(1, last));
  const order = wished.map((_, i) => i).sort((a, b) => (wished[a] as number) - (wished[b] as number) || a - b);
  const down = order.map((_, i) =>
    Math.max(top + i * gap, ...order.slice(0, i + 1).map((o, j) => (wished[o] as number) + (i - j) * gap)),
  );
  const up = down.map((_, i) => Math.min(bottom - (last - i) * gap, ...down.slice(i).map((y, j) => y - j * gap)));
  return wished.map((_, i) => up[order.indexOf(i)] as number);
};

// parts

const dashOf = (series: Series, index: number): string =>
  series.dashed === true ? '7 4' : index >= light.length ? '2 4' : '';

const dashed = (dash: string): string => (dash === '' ? '' : ` stroke-dasharray="${dash}"`);

const drawLine = ({ index, dash, runs }: Line): string => {
  const colour = index % light.length;
  const path = runs
    .filter((run) => run.length > 1)
    .map((run) => `M${run.map(([x, y]) => `${px(x)} ${px(y)}`).join('L')}`)
    .join('');
  const dots = runs.flatMap((run, i) => (run.length === 1 || i === runs.length - 1 ? run.slice(-1) : []));
  return [
    ...(path === '' ? [] : [`<path class="line s${colour}" d="${path}"${dashed(dash)}/>`]),
    ...dots.map(([x, y]) => `<circle class="dot d${colour}" cx="${px(x)}" cy="${px(y)}" r="3.5"/>`),
  ].join('');
};

const drawNames = (lines: readonly Line[], frame: Frame, room: number): string => {
  const wished = lines.map(({ runs }) => runs.at(-1)?.at(-1)?.[1] ?? frame.bottom);
  const places = spread(wished, frame.top + 4, frame.bottom - 4);
  const x = frame.right + 14;
  return lines
    .map(({ name, index, dash }, i) => {
      const y = places[i] as number;
      const mark = segment(`line s${index % light.length}`, x, y, x + swatch, y, dashed(dash));
      return mark + text(x + swatch + 7, y + 4, 'name', shorten(name, room));
    })
    .join('');
};

const drawAxes = (x: Axis, y: Axis, frame: Frame): string => {
  const atX = (value: number): number => frame.left + x.place(value) * (frame.right - frame.left);
  const atY = (value: number): number => frame.bottom - y.place(value) * (frame.bottom - frame.top);
  const rows = y.ticks.map(
    ({ value, label }) =>
      segment('grid', frame.left, atY(value), frame.right, atY(value)) +
      text(frame.left - 8, atY(value) + 4, 'soft tick', label, 'end'),
  );
  const columns = x.ticks.map(
    ({ value, label }) =>
      segment('axis', atX(value), frame.bottom, atX(value), frame.bottom + 5) +
      text(atX(value), frame.bottom + 19, 'soft tick', label, 'middle'),
  );
  return [...rows, segment('axis', frame.left, frame.bottom, frame.right, frame.bottom), ...columns].join('');
};

// functions

/** The chart as a complete SVG document. */
export const lineChart = (chart: LineChart): string => {
  const { title, xLabel, yLabel, series, logY = false } = chart;
  const width = Math.max(240, chart.width ?? 720);
  const height = Math.max(160, chart.height ?? 400);
  const drawable = ([x, y]: Point): boolean => plottable(x, false) && plottable(y, logY);
  const shown = series.flatMap((s) => s.points.filter(drawable));
  const x = linearAxis(extent(shown.map(([v]) => v)), Math.max(2, Math.floor(width / 100)), false);
  const yRange = extent(shown.map(([, v]) => v));
  const yCount = Math.max(2, Math.floor(height / 60));
  const y = logY && shown.length > 0 ? logAxis(yRange, yCount) : linearAxis(yRange, yCount, true);

  const longest = (texts: readonly string[]): number => Math.max(0, ...texts.map((t) => t.length));
  const room = Math.min(longest(series.map((s) => s.name)), Math.floor((width * 0.3) / characterWidth));
  const frame: Frame = {
    left: 24 + longest(y.ticks.map((t) => t.label)) * characterWidth,
    right: width - (series.length === 0 ? 24 : 14 + swatch + 7 + room * characterWidth + 14),
    top: 74,
    bottom: height - 52,
  };
  const at = ([vx, vy]: Point): Point => [
    frame.left + x.place(vx) * (frame.right - frame.left),
    frame.bottom - y.place(vy) * (frame.bottom - frame.top),
  ];
  const lines = series.map(
    (s, index): Line => ({
      name: s.name,
      index,
      dash: dashOf(s, index),
      runs: cutRuns(s.points, drawable).map((run) => thin(run.map(at))),
    }),
  );

  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="paca-chart" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">`,
    `<title>${escapeXml(title)}</title><style>${styles}</style>`,
    `<rect class="card" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>`,
    text(16, 30, 'title', shorten(title, Math.floor((width - 32) / 8))),
    text(16, 54, 'soft', yLabel),
    drawAxes(x, y, frame),
    text((frame.left + frame.right) / 2, height - 14, 'soft', xLabel, 'middle'),
    ...lines.map(drawLine),
    drawNames(lines, frame, room),
    ...(shown.length > 0
      ? []
      : [text((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2, 'soft', 'no data', 'middle')]),
    '</svg>',
    '',
  ].join('\n');
};
