import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule, TestRunEndReason } from 'vitest/node';

/** What one run of the tests came to. */
export interface TestReport {
  readonly node: string;
  readonly passed: number;
  /** Tests, and also files that failed before their tests could run and errors outside of any test. */
  readonly failed: number;
  readonly skipped: number;
  readonly skips: readonly { readonly name: string; readonly reason: string }[];
}

/** A skip by a filter of names, or by somebody who gives no reason. */
const UNSAID = 'no reason given';

/** Says why tests were skipped, and writes the counts to the file that STK_TEST_REPORT names, if it does. */
export class CountingReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[], reason: TestRunEndReason): void {
    const report = count(modules, errors.length);
    for (const { name, reason: why } of report.skips) if (why !== UNSAID) console.log(`skipped: ${name}: ${why}`);
    const file = process.env['STK_TEST_REPORT'];
    const interrupted = reason === 'interrupted' ? 1 : 0;
    if (file) writeFileSync(file, `${JSON.stringify({ ...report, failed: report.failed + interrupted }, null, 2)}\n`);
  }
}

function count(modules: readonly TestModule[], strayErrors: number): TestReport {
  let [passed, failed] = [0, strayErrors];
  const skips: { name: string; reason: string }[] = [];
  for (const module of modules) {
    if (module.errors().length > 0) failed++;
    for (const suite of module.children.allSuites()) if (suite.errors().length > 0) failed++;
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === 'passed') passed++;
      else if (result.state === 'skipped') skips.push({ name: fullName(test), reason: result.note ?? UNSAID });
      else failed++;
    }
  }
  return { node: process.version, passed, failed, skipped: skips.length, skips };
}

function fullName(test: TestCase): string {
  return `${test.module.relativeModuleId} > ${test.fullName}`;
}

export default CountingReporter;
