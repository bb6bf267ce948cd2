/** What a report does in a browser: draws its tables from the data in the page, sorts and searches them. */
export const REPORT_SCRIPT = `
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const make = (name, attributes, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children.map(child => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
};
const bytes = size => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  for (; size >= 1000 && at < units.length - 1; at++) size /= 1000;
  return (at === 0 ? size : size.toPrecision(3)) + ' ' + units[at];
};
const share = (part, whole) => (whole === 0 ? '0 %' : Math.round((100 * part) / whole) + ' %');
const fill = (id, columns, rows) => {
  const place = document.getElementById(id);
  if (rows.length === 0) { place.closest('section').hidden = true; return; }
  const body = make('tbody');
  const head = make('tr');
  const draw = list => body.replaceChildren(...list.map(row => row.element));
  for (const row of rows) {
    row.element = make('tr', {}, ...columns.map(column => {
      const shown = column.show(row.of);
      return make('td', { class: column.number ? 'number' : column.name || '' }, ...[shown].flat());
    }));
  }
  columns.forEach(column => {
    const button = make('button', { type: 'button' }, column.title);
    const cell = make('th', { scope: 'col', class: column.number ? 'number' : '', 'aria-sort': 'none' }, button);
    button.addEventListener('click', () => {
      const down = cell.getAttribute('aria-sort') === 'none' ? Boolean(column.number) : cell.getAttribute('aria-sort') === 'ascending';
      head.querySelectorAll('th').forEach(other => other.setAttribute('aria-sort', 'none'));
      cell.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const compare = (a, b) => {
        const [x, y] = [column.value(a.of), column.value(b.of)];
        return (typeof x === 'number' ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true })) * (down ? -1 : 1);
      };
      draw(rows.slice().sort(compare));
    });
    head.append(cell);
  });
  place.append(make('thead', {}, head), body);
  draw(rows);
  searches.push(words => {
    let count = 0;
    for (const row of rows) {
      const isShown = words.every(word => row.text.includes(word));
      row.element.hidden = !isShown;
      if (isShown) count++;
    }
    return count;
  });
};
const searches = [];
const mark = (text, kind) => make('span', { class: 'mark ' + kind }, text);
const partText = part => (part.kind === 'base' ? 'base ' : '') + part.name + ': ' + part.state + (part.newer ? ', ' + part.newer + ' newer' : '');
const images = data.images.map(of => ({ of, text: [of.name, of.digest, ...of.parts.map(partText), ...of.findings.map(f => f.id + ' ' + f.package)].join(' ').toLowerCase() }));
const hasFindings = data.images.some(image => image.findings.length > 0);
fill('images', [
  { title: 'Image', name: 'name', show: image => image.name, value: image => image.name },
  { title: 'Size', number: true, show: image => bytes(image.size), value: image => image.size },
  { title: 'Its own', number: true, show: image => bytes(image.own), value: image => image.own },
  { title: 'Shared', number: true, show: image => share(image.size - image.own, image.size), value: image => (image.size === 0 ? 0 : 1 - image.own / image.size) },
  { title: 'Layers', number: true, show: image => image.layers.length, value: image => image.layers.length },
  { title: 'Made of', show: image => image.parts.map(part => mark(partText(part), part.state)), value: image => image.parts.filter(part => part.state !== 'current').length },
  ...(hasFindings ? [{ title: 'Vulnerabilities', show: image => image.findings.length === 0 ? '' : make('details', {}, make('summary', {}, image.findings.length + ', ' + image.findings.filter(f => f.isFixed).length + ' fixed by newer parts'), ...image.findings.map(f => make('div', {}, mark(f.isFixed ? 'fixed' : 'stays', f.isFixed ? 'fixed' : 'affected'), f.id + ' ' + f.severity + ' ' + f.package + (f.why ? ': ' + f.why : '')))), value: image => image.findings.length }] : []),
], images);
const parts = new Map();
for (const image of data.images) {
  for (const part of image.parts) {
    const key = part.kind + ' ' + part.name;
    const known = parts.get(key) || { ...part, images: 0, behind: 0, bytes: 0 };
    known.images++;
    if (part.state === 'behind') known.behind++;
    parts.set(key, known);
  }
}
for (const layer of data.layers) {
  const part = parts.get((layer.role === 'base' ? 'base ' : 'apply ') + layer.name);
  if (part) part.bytes += layer.size;
}
fill('parts', [
  { title: 'Part', name: 'name', show: part => part.name, value: part => part.name },
  { title: 'Kind', show: part => part.kind, value: part => part.kind },
  { title: 'Images', number: true, show: part => part.images, value: part => part.images },
  { title: 'An update moves', number: true, show: part => part.behind + ' images', value: part => part.behind },
  { title: 'Bytes of its layers', number: true, show: part => bytes(part.bytes), value: part => part.bytes },
], [...parts.values()].map(of => ({ of, text: (of.kind + ' ' + of.name).toLowerCase() })));
const MOST_COLUMNS = 60;
const shared = data.layers.map((layer, number) => ({ ...layer, number })).filter(layer => layer.held > 1)
  .sort((a, b) => b.held * b.size - a.held * a.size);
const columns = shared.slice(0, MOST_COLUMNS);
if (columns.length === 0) document.getElementById('matrix').closest('section').hidden = true;
else {
  const label = layer => (layer.name || layer.role) + ' ' + layer.digest.slice(7, 15) + ', ' + bytes(layer.size);
  const head = make('tr', {}, make('th', { scope: 'col' }, ''), ...columns.map(layer => make('th', { scope: 'col', class: 'layer', title: layer.digest + ' in ' + layer.held + ' images' }, make('span', {}, label(layer)))));
  const rows = images.map(row => {
    const held = new Set(row.of.layers);
    const element = make('tr', {}, make('th', { scope: 'row', title: row.of.name }, row.of.name), ...columns.map(layer => make('td', held.has(layer.number) ? { class: 'on', title: label(layer) } : { class: 'off' })));
    return { element, text: row.text };
  });
  document.getElementById('matrix').append(make('thead', {}, head), make('tbody', {}, ...rows.map(row => row.element)));
  if (shared.length > columns.length) document.getElementById('more').textContent = 'The ' + columns.length + ' of ' + shared.length + ' shared layers that save the most.';
  searches.push(words => { for (const row of rows) row.element.hidden = !words.every(word => row.text.includes(word)); return 0; });
}
const count = document.getElementById('count');
document.getElementById('search').addEventListener('input', event => {
  const words = event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const counts = searches.map(search => search(words));
  count.textContent = words.length === 0 ? '' : counts[0] + ' images';
});
`;
