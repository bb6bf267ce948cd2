import { Command, Option } from 'commander';
import { StkError } from '../core/errors.ts';
import { ownOptions, separateCommand, type OwnOptions } from './own-options.ts';
import { absPath } from '../core/paths.ts';
import { parseDuration } from '../core/quantities.ts';
import type { Act } from './act.ts';
import { addAttestCommands } from './commands/attest/attest.command.ts';
import { addBuildCommands } from './commands/build/build.command.ts';
import { addRunCommands } from './commands/run/run.command.ts';
import { addBundleCommand } from './commands/run/bundle.command.ts';
import { addCommitCommand } from './commands/run/commit.command.ts';
import { addLayoutCommands } from './commands/layout/layout.command.ts';
import { addHistoryCommands } from './commands/history/history.command.ts';
import { addHostCommands } from './commands/host/host.command.ts';
import { addMountCommands } from './commands/mount/mount.command.ts';
import { addPublishCommands } from './commands/publish/publish.command.ts';
import { addSbomCommands } from './commands/sbom/sbom.command.ts';
import { addFleetCommands } from './commands/fleet/fleet.command.ts';
import { addUpdateCommands } from './commands/update/update.command.ts';
import type { CacheSettings } from './cache-settings.ts';
import { addCacheCommands } from './commands/cache/cache.command.ts';
import { readConfigFile } from './config-file.ts';
import { messageLines } from './message-lines.ts';
import { PROGRESS_MODES, addStackerOptions, adaptProgress } from './stacker-options.ts';
import { lazySettings } from './lazy-settings.ts';
import type { GlobalOptions, Session } from './session.ts';

/** Makes a session once the global options are known. */
export type MakeSession = (global: GlobalOptions) => Promise<Session>;

export interface Program {
  /** The words of a command line, `--` before those that are another command's. */
  separate(args: readonly string[]): readonly string[];
  ownOptions(words: readonly string[]): OwnOptions;
  /** Leaves it to the caller to say what is wrong with a command line. */
  silence(): void;
  /** Runs the words of a command line; returns the exit status. Throws `CommanderError`, and what commands throw. */
  run(words: readonly string[]): Promise<number>;
  readonly command: Command;
}

/** The whole command line. Commands import what they need when they run, so that starting stays quick. */
export function makeProgram(
  makeSession: MakeSession,
  workingDirectory: string,
  environment: Readonly<Record<string, string | undefined>>,
  version: string,
): Program {
  const program = new Command('stk');
  let status = 0;
  program
    .description('Build container images as mountable squashfs layers, rootless, from YAML recipes')
    .version(version, '-V, --version')
    .option('--work-dir <dir>', 'directory that --stk-dir and --oci-dir are relative to', '.')
    .option('--stk-dir <dir>', 'caches and running work', '.stk')
    .option('--oci-dir <dir>', 'the OCI layout', 'oci')
    .option('--debug', 'show more, and causes of errors')
    .option('-q, --quiet', 'same as --progress quiet')
    .addOption(
      new Option('--progress <mode>', 'how progress is shown on stderr').choices(PROGRESS_MODES).default('auto'),
    )
    .option('--log-file <file>', 'also write all progress to a file')
    .option('--patience <time>', 'how long a registry is tried that does not answer, such as 30s or 5m', '2m')
    .option('--config <file>', 'defaults for these options (default: $XDG_CONFIG_HOME/stk/config.yaml)')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .showHelpAfterError('(run the command with --help for its options and examples)')
    .showSuggestionAfterError()
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .exitOverride();

  addStackerOptions(program);

  const act: Act = action =>
    async function (this: Command | void, ...args: unknown[]): Promise<void> {
      // commander passes the command itself last.
      const command = args.at(-1) as Command;
      const flags = command.optsWithGlobals();
      const given = Object.entries(flags).filter(([name]) => program.getOptionValueSource(name) !== 'default');
      const settings = await readConfigFile(flags['config'] as string | undefined, environment, workingDirectory);
      if (flags['debug'] === true && flags['quiet'] === true) {
        throw new StkError('usage', '--debug and --quiet contradict each other', { hint: 'leave one of them out' });
      }
      const session = await makeSession(globalOptions({ ...settings, ...Object.fromEntries(given) }, workingDirectory));
      session.view.errorsAsJson = session.global.progress === 'json';
      if (!session.inside) await beginOutput(session);
      status = await action(session, ...(args.slice(0, -1) as never));
    };
  addBuildCommands(program, act);
  addLayoutCommands(program, act);
  addSbomCommands(program, act);
  addHistoryCommands(program, act);
  addCacheCommands(program, act);
  addUpdateCommands(program, act);
  addFleetCommands(program, act);
  addPublishCommands(program, act);
  addAttestCommands(program, act);
  addHostCommands(program, act);
  addMountCommands(program, act);
  addRunCommands(program, act);
  addBundleCommand(program, act);
  addCommitCommand(program, act);
  for (const command of program.commands) command.exitOverride();
  return {
    command: program,
    separate: args =>
      adaptProgress(
        ['run', 'chroot', 'exec'].reduce((words, name) => separateCommand(words, program, name), args),
        program.commands.map(one => one.name()),
      ),
    ownOptions: words => ownOptions(words, program),
    silence: () => silence(program),
    async run(words) {
      await program.parseAsync([...words], { from: 'user' });
      return status;
    },
  };
}

/** The version first in what is shown for a report of a bug; and a log file for every command, however little it has to say. */
async function beginOutput({ global, stderr, version }: Session): Promise<void> {
  const { debug, progress, logFile } = global;
  if (logFile !== undefined) {
    const { emptyLogFile } = await import('./ui/log-file.ts');
    emptyLogFile(logFile);
  }
  if (!debug) return;
  const text = `stk ${version}`;
  const event = { type: 'message', level: 'debug', text, at: Date.now() } as const;
  for (const line of messageLines(event, { debug, progress })) stderr.write(`${line}\n`);
}

function silence(command: Command): void {
  command.configureOutput({ writeErr: () => {} });
  for (const child of command.commands) silence(child);
}

function globalOptions(options: Readonly<Record<string, unknown>>, workingDirectory: string): GlobalOptions {
  const text = (name: string): string | undefined => options[name] as string | undefined;
  const workDir = absPath(text('workDir') ?? '.', workingDirectory);
  const logFile = text('logFile');
  const mode = options['progress'] === false ? 'plain' : ((text('progress') ?? 'auto') as GlobalOptions['progress']);
  const progress = options['quiet'] === true ? 'quiet' : mode;
  for (const name of ['stkDir', 'ociDir']) {
    if (text(name) === '') throw new StkError('usage', `--${name.replace('Dir', '-dir')} is empty`);
  }
  return {
    stkDir: absPath(text('stackerDir') ?? text('stkDir') ?? '.stk', workDir),
    ociDir: absPath(text('ociDir') ?? 'oci', workDir),
    debug: options['debug'] === true,
    progress,
    logFile: logFile === undefined ? undefined : absPath(logFile, workingDirectory),
    patienceMs: patience(text('patience')),
    caches: (options['caches'] as CacheSettings | undefined) ?? {},
    trustedImages: (options['trustedImages'] as readonly string[] | undefined) ?? [],
    lazy: lazySettings(text('lazyCacheSize'), text('lazyPatience')),
  };
}

function patience(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const patienceMs = parseDuration(text);
  if (patienceMs !== undefined) return patienceMs;
  throw new StkError('usage', `${JSON.stringify(text.slice(0, 100))} is no time to be patient for`, {
    hint: 'write it as 30s, 5m or 1h30m',
  });
}
