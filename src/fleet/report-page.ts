import { formatBytes } from '../core/bytes.ts';
import { digestOf } from '../core/digest.ts';
import type { ReportData } from './report-data.ts';
import { REPORT_SCRIPT } from './report-script.ts';
import { REPORT_STYLE } from './report-style.ts';

/**
 * One page of HTML that needs nothing from elsewhere, and asks for nothing: its policy forbids it. What is in it of images is
 * text wherever it is shown.
 */
export function reportPage(data: ReportData): string {
  const { title, created, images, layers, totals } = data;
  const shared = layers.filter(({ held }) => held > 1).length;
  const findings = images.flatMap(image => image.findings);
  const tiles: (readonly [string, string])[] = [
    [String(images.length), 'images'],
    [formatBytes(totals.shared), `stored, ${layers.length} layers`],
    [formatBytes(totals.apart - totals.shared), `saved by ${shared} shared layers`],
    [String(totals.behind), 'images behind'],
    ...(findings.length === 0
      ? []
      : ([
          [String(findings.length), 'vulnerabilities found'],
          [String(findings.filter(({ isFixed }) => isFixed).length), 'fixed by newer parts'],
        ] as const)),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${hashOf(REPORT_STYLE)}; script-src ${hashOf(REPORT_SCRIPT)}">
<meta name="generator" content="stk">
<title>${escaped(title)}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p>As of ${escaped(created)}.</p>
<div class="tiles">${tiles.map(([number, text]) => `<div class="tile"><b>${escaped(number)}</b><span>${escaped(text)}</span></div>`).join('')}</div>
<div class="bar"><input type="search" id="search" placeholder="Search images, parts, vulnerabilities" aria-label="Search"><span id="count" role="status"></span></div>
<section><h2>Images</h2><div class="scroll"><table id="images"></table></div></section>
<section><h2>What they are made of</h2><p>Bases and applied images, and how many images an update of each would move.</p><div class="scroll"><table id="parts"></table></div></section>
<section><h2>Shared layers</h2><p>Which image holds which layer that others hold, too. <span id="more"></span></p><div class="scroll"><table id="matrix" class="matrix"></table></div></section>
<noscript><p>The tables need scripts, which are in this page; nothing is loaded from elsewhere.</p></noscript>
<footer>Made by stk report.</footer>
<script type="application/json" id="data">${jsonInHtml(data)}</script>
<script>${REPORT_SCRIPT}</script>
</body>
</html>
`;
}

/** Nothing in it can end the element that it stands in. */
function jsonInHtml(value: object): string {
  return JSON.stringify(value)
    .replaceAll('<', String.raw`\u003c`)
    .replaceAll('\u2028', String.raw`\u2028`);
}

function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot' };
  return text.replaceAll(/[&<>"]/g, character => `&${names[character]!};`);
}

function hashOf(text: string): string {
  return `'sha256-${Buffer.from(digestOf(text).slice('sha256:'.length), 'hex').toString('base64')}'`;
}
