// Adds up the reports of all test runs: sum-tests.mjs REPORTS ALLOWED-SKIPS STATUS, where STATUS is how the runs ended.
// Fails on a failed run, on a run that executed nothing, and on a skip that is not allowed by name.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const [directory, allowedFile, runStatus] = process.argv.slice(2);
const allowed = new Set(
  readFileSync(allowedFile, 'utf8')
    .split('\n')
    .filter(line => line.trim() !== '' && !line.startsWith('#'))
    .map(line => line.split(' | ')[0].trim()),
);
const files = existsSync(directory) ? readdirSync(directory).filter(name => name.endsWith('.json')) : [];
const reports = files.map(name => ({ name, ...JSON.parse(readFileSync(path.join(directory, name), 'utf8')) }));

const problems = [];
if (Number(runStatus) !== 0) problems.push(`the tests ended with status ${runStatus}`);
if (reports.length === 0) problems.push('no test run left a report');
for (const report of reports) {
  if (report.passed + report.failed === 0) problems.push(`${report.name}: no test was executed`);
  for (const { name, reason } of report.skips) {
    if (!allowed.has(name)) problems.push(`${report.name}: skipped without leave: ${name} (${reason})`);
  }
}
for (const problem of problems) console.log(problem);

const sum = key => reports.reduce((total, report) => total + report[key], 0);
console.log(`tests: ${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = problems.length > 0 || sum('failed') > 0 ? 1 : 0;
