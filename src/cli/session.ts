import type { AsyncScope } from '../core/async-scope.ts';
import type { Emit } from '../core/events.ts';
import type { AbsPath } from '../core/paths.ts';
import type { LazySettings } from './lazy-settings.ts';
import type { CacheSettings } from './cache-settings.ts';
import type { GivenFiles } from './given-files.ts';
import type { ImageStores } from '../stores/image-stores.ts';

/** Everything a command gets from the outside world; made once, in main.ts. */
export interface Session {
  readonly workingDirectory: AbsPath;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly global: GlobalOptions;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly color: boolean;
  /** Aborted by SIGINT, SIGTERM and SIGHUP, and when the process that started this one is gone. */
  readonly signal: AbortSignal;
  readonly view: {
    /** What the screen has shown already, so that an error does not say it again. */
    stepOutputShown: boolean;
    /** The exit status is the command's own answer, also where a signal came in between. */
    statusStands: boolean;
    /** Settings want errors as JSON, though no option does. */
    errorsAsJson: boolean;
    /** Of the progress display, while there is one. */
    emit: Emit | undefined;
  };
  /** Files that the command line names. */
  readonly given: GivenFiles;
  /** Closed at the end of the command, whatever its outcome. */
  readonly scope: AsyncScope;
  /** Opens what names of images name; serves the whole process. */
  readonly stores: ImageStores;
  /** Version of stk. */
  readonly version: string;
  /** Differs between any two builds of stk, even of one version. */
  readonly build: string;
  /** Program and arguments (absolute) that start this stk; commands follow. */
  readonly self: readonly string[];
  /** Whether this process is the one inside the namespaces. */
  readonly inside: boolean;
  /** Runs the same command again as root of fresh namespaces; returns its exit status. */
  readonly enter: () => Promise<number>;
}

/** Options that every command has. Directories are absolute. */
export interface GlobalOptions {
  readonly stkDir: AbsPath;
  readonly ociDir: AbsPath;
  readonly debug: boolean;
  readonly progress: 'auto' | 'tty' | 'plain' | 'json' | 'quiet';
  readonly logFile: AbsPath | undefined;
  /** How long a transfer goes on that gets nowhere; `undefined` for the usual time. */
  readonly patienceMs: number | undefined;
  /** Limits of caches that stand in place of the usual ones. */
  readonly caches: CacheSettings;
  /** Patterns of names of images that the kernel may have, see `isTrustedImage`. */
  readonly trustedImages: readonly string[];
  /** How images of registries are read lazily. */
  readonly lazy: LazySettings;
}
