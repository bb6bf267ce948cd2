/** The look of a report: readable in the dark and in the light, on paper, and without anything from elsewhere. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de; --raised: #f6f8fa;
  --accent: #0b63c5; --bad: #b3261e; --warn: #8a5a00; --good: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --text: #e6edf3; --soft: #9da7b3; --line: #30363d;
  --raised: #161b22; --accent: #58a6ff; --bad: #ff7b72; --warn: #e3b341; --good: #56d364; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 110rem; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { color: var(--soft); margin: .25rem 0 .75rem; max-width: 70ch; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; }
.tile { background: var(--raised); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .9rem; min-width: 9rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
.bar { position: sticky; top: 0; z-index: 3; background: var(--ground); padding: .5rem 0; display: flex; gap: 1rem;
  align-items: center; flex-wrap: wrap; }
input[type=search] { font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--line);
  border-radius: 6px; padding: .4rem .7rem; width: min(28rem, 100%); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { background: var(--raised); white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.name { overflow-wrap: anywhere; min-width: 16rem; }
tbody tr { content-visibility: auto; contain-intrinsic-size: auto 2rem; }
.mark { display: inline-block; border-radius: 4px; padding: 0 .4rem; border: 1px solid currentColor; font-size: .8rem;
  margin: 0 .3rem .15rem 0; white-space: nowrap; }
.behind { color: var(--warn); } .current { color: var(--good); } .gone, .unknown, .affected { color: var(--bad); }
.fixed { color: var(--good); }
.matrix td, .matrix thead th { padding: 0; }
.matrix tbody th { position: sticky; left: 0; background: var(--ground); font-weight: 400; white-space: nowrap;
  padding: .1rem .6rem; z-index: 1; max-width: 32rem; overflow: hidden; text-overflow: ellipsis; }
.matrix thead th.layer { height: 10rem; vertical-align: bottom; min-width: 1.4rem; }
.matrix thead th.layer span { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4rem .1rem; font-weight: 400;
  max-height: 9.5rem; overflow: hidden; text-overflow: ellipsis; }
.matrix td.on { background: var(--accent); border: 1px solid var(--ground); }
.matrix td.off { border: 1px solid var(--raised); }
details summary { cursor: pointer; }
details div { color: var(--soft); }
footer { color: var(--soft); margin-top: 2rem; font-size: .85rem; }
[hidden] { display: none !important; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .bar { display: none; }
  .scroll { overflow: visible; border: 0; } .tile { break-inside: avoid; } tr { break-inside: avoid; }
  .matrix td.on { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
`;
