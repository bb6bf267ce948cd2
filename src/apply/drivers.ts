import type { MergeDriver } from './driver.ts';
import { accounts } from './accounts/accounts.ts';
import { apk } from './apk/apk.ts';
import { dpkg } from './dpkg/dpkg.ts';
import { generated } from './generated/generated.ts';
import { identities } from './identities/identities.ts';
import { logs } from './text/logs.ts';
import { rpm } from './rpm/rpm.ts';

/** In the order in which they are asked: the first that claims a path is asked and nobody else. */
export const DRIVERS: readonly MergeDriver[] = [dpkg, apk, rpm, accounts, identities, generated, logs];
