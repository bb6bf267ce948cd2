// Writes manual pages into dist/man: one for each command, from the program's own table, and one for each page of docs/.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { unified } from 'unified';
import remarkGfm from 'remark-gfm';
import remarkMan from 'remark-man';
import remarkParse from 'remark-parse';

process.chdir(new URL('..', import.meta.url).pathname);
const target = 'dist/man';
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const table = JSON.parse(execFileSync(process.execPath, ['dist/stk.js', 'command-table'], { encoding: 'utf8' }));
// The day of the newest change, so that the same sources give the same pages.
const date = new Date(Number(process.env.SOURCE_DATE_EPOCH ?? newestChange()) * 1000).toISOString();

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
for (const entry of table) {
  const name = ['stk', ...entry.name.split(' ').filter(Boolean)].join('-');
  write(name, 1, entry.description, commandPage(entry));
}
for (const file of readdirSync('docs')) {
  const topic = path.basename(file, '.md');
  if (!file.endsWith('.md') || topic === 'README') continue;
  const text = readFileSync(path.join('docs', file), 'utf8');
  const title = /^# (.*)$/m.exec(text)?.[1] ?? topic;
  write(`stk-${topic}`, 7, title.replaceAll('`', ''), withoutLinks(text.replace(/^# .*$/m, '## DESCRIPTION')));
}

function commandPage({ name, usage, options, notes }) {
  const full = `stk ${name}`.trim();
  const parts = [`## SYNOPSIS\n\n\`${full} ${usage}\``];
  if (name === '') {
    const commands = table.slice(1).map(entry => `*   \`${entry.name}\`: ${plain(entry.description)}`);
    parts.push(`## COMMANDS\n\n${commands.join('\n')}`);
  }
  if (options.length > 0) {
    const rows = options.map(
      option => `*   \`${option.flags}\`\n\n    ${plain(option.description.replace(/ \(default: \[\]\)$/, ''))}`,
    );
    parts.push(`## OPTIONS\n\n${rows.join('\n')}`);
  }
  if (notes !== '') parts.push(`## NOTES\n\n\`\`\`\n${notes}\n\`\`\``);
  if (name === '') parts.push(`## EXIT STATUS\n\n${exitStatuses()}`);
  parts.push(`## SEE ALSO\n\n${name === '' ? 'stk-recipe(7), stk-apply(7), stk-update(7)' : 'stk(1)'}`);
  return parts.join('\n\n');
}

/** The README's table: the one place that says them. */
function exitStatuses() {
  const [, readme = ''] = readFileSync('README.md', 'utf8').split('## Exit statuses');
  const rows = [...readme.split('\n## ')[0].matchAll(/^\| (\d+|128 \+ N) +\| (.*?) +\|$/gm)];
  if (rows.length < 10) throw new Error('README.md has no table of exit statuses');
  return rows.map(([, status, meaning]) => `*   ${status}: ${meaning}`).join('\n');
}

/** A manual page has nowhere to go to: a link between documents becomes its text. */
function withoutLinks(markdown) {
  return markdown.replaceAll(/\[([^\]\n]*)\]\((?!https?:)[^)\n]*\)/g, '$1');
}

function plain(text) {
  return text.replaceAll(/[\\`*_<>[\]]/g, '\\$&');
}

function write(name, section, description, markdown) {
  const page = unified()
    .use(remarkParse)
    .use(remarkGfm)
    .use(remarkMan, { name, section, description, date, version: `stk ${version}`, manual: 'stk' })
    .processSync(markdown);
  writeFileSync(path.join(target, `${name}.${section}`), String(page));
}

function newestChange() {
  try {
    return execFileSync('git', ['log', '-1', '--format=%ct'], { encoding: 'utf8' }).trim();
  } catch {
    return Date.now() / 1000;
  }
}
