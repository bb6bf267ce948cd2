import type { MergeDriver } from '../driver.ts';
import { accounts } from './accounts.ts';
import { apk } from './apk.ts';
import { dpkg } from './dpkg.ts';
import { generated } from './generated.ts';
import { logs } from './logs.ts';
import { rpm } from './rpm.ts';

/** In the order in which they are asked: the first that claims a path is asked and nobody else. */
export const DRIVERS: readonly MergeDriver[] = [dpkg, apk, rpm, accounts, generated, logs];
