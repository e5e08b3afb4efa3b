// Between JavaScript's values and the contract's, checked before they reach the component: a wrong type would be a fault there.
import { invalid } from './errors.js';
import type * as t from './types.js';

export function text(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(name, 'it has to be a string');
  if (!value.isWellFormed()) throw invalid(name, 'it holds half of a surrogate pair');
  return value;
}

export function texts(name: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw invalid(name, 'it has to be an array of strings');
  return value.map((item) => text(name, item));
}

function maybe<T>(convert: (name: string, value: unknown) => T): (name: string, value: unknown) => T | undefined {
  return (name, value) => (value === undefined || value === null ? undefined : convert(name, value));
}

export function flag(name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'boolean') throw invalid(name, 'it has to be true or false');
  return value;
}

function whole(name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw invalid(name, `it has to be a whole number from ${least} to ${most}`);
  }
  return value;
}

export const u32 = (name: string, value: unknown): number => whole(name, value, 0, 2 ** 32 - 1);
export const maybeU32 = maybe(u32);
export const maybeText = maybe(text);

/** 64 bits without a sign, given as a number or a bigint. */
export function u64(name: string, value: unknown): bigint {
  if (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) return value;
  return BigInt(whole(name, value, 0, Number.MAX_SAFE_INTEGER));
}
export const maybeU64 = maybe(u64);
const maybeS64 = maybe((name, value) => BigInt(whole(name, value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)));

function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[], otherwise: T): T {
  if (value === undefined || value === null) return otherwise;
  if (!allowed.includes(value as T)) throw invalid(name, `it has to be one of ${allowed.join(', ')}`);
  return value as T;
}

/** A copy, so that the caller may go on with his own. */
export function bytes(name: string, value: unknown): Uint8Array {
  if (typeof value === 'string') return new TextEncoder().encode(text(name, value));
  if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0));
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  throw invalid(name, 'it has to be bytes (Uint8Array, ArrayBuffer) or a string');
}

function environment(name: string, value: unknown): [string, string][] {
  if (value === undefined || value === null) return [];
  if (typeof value !== 'object') throw invalid(name, 'it has to be an object of names and values');
  return Object.entries(value).map(([key, item]) => [text(name, key), text(`${name}.${key}`, item)]);
}

const FILE_KINDS = ['regular', 'directory', 'symlink', 'block-device', 'character-device', 'fifo', 'socket', 'unknown'] as const;
const COMPRESSIONS = ['none', 'gzip', 'bzip2', 'xz'] as const;

export const maybeKind = maybe((name, value) => oneOf<t.FileKind>(name, value, FILE_KINDS, 'unknown'));

export function listOptions(given: t.ListOptions): object {
  return {
    recursive: flag('recursive', given.recursive, false),
    hidden: flag('hidden', given.hidden, false),
    pattern: maybeText('pattern', given.pattern),
  };
}

export function transferOptions(given: t.TransferOptions): object {
  return {
    overwrite: oneOf('overwrite', given.overwrite, ['replace', 'fail', 'skip'], 'replace'),
    dereference: flag('dereference', given.dereference, true),
    ignoreNonexisting: flag('ignoreNonexisting', given.ignoreNonexisting, false),
    parents: flag('parents', given.parents, false),
    verify: given.verify === undefined ? undefined : flag('verify', given.verify, false),
    size: maybeU64('size', given.size),
    mode: maybeU32('mode', given.mode),
  };
}

export function compressOptions(given: t.CompressOptions): object {
  return {
    compression: oneOf('compression', given.compression, COMPRESSIONS, 'gzip'),
    root: maybeText('root', given.root),
    dereference: flag('dereference', given.dereference, true),
    pattern: maybeText('pattern', given.pattern),
    overwrite: flag('overwrite', given.overwrite, true),
  };
}

export function extractOptions(given: t.ExtractOptions): object {
  const compression = given.compression;
  return {
    compression: compression === undefined ? undefined : oneOf('compression', compression, COMPRESSIONS, 'none'),
    stripComponents: maybeU32('stripComponents', given.stripComponents) ?? 0,
  };
}

export function command(given: t.Command | string): object {
  const asked: t.Command = typeof given === 'string' ? { line: given } : given;
  return {
    line: text('line', asked.line),
    workingDirectory: maybeText('workingDirectory', asked.workingDirectory),
    environment: environment('environment', asked.environment),
    stdin: bytes('stdin', asked.stdin ?? ''),
    timeLimit: maybeU32('timeLimit', asked.timeLimit),
  };
}

export function submission(given: t.Submission): object {
  const { script, scriptPath } = given;
  if ((script === undefined) === (scriptPath === undefined)) throw invalid('script', 'either script or scriptPath has to be given');
  return {
    script: script === undefined ? { tag: 'path', val: text('scriptPath', scriptPath) } : { tag: 'text', val: text('script', script) },
    workingDirectory: text('workingDirectory', given.workingDirectory),
    name: maybeText('name', given.name),
    account: maybeText('account', given.account),
    environment: environment('environment', given.environment),
  };
}

export function waitOptions(given: t.WaitOptions): object {
  return {
    until: oneOf('until', given.until, ['started', 'finished'], 'finished'),
    all: flag('all', given.all, true),
    timeoutMs: maybeU64('timeout', given.timeout),
  };
}

export function jobTemplate(given: t.JobTemplate): object {
  const words = (name: keyof t.JobTemplate): string | undefined => maybeText(name, given[name]);
  const flags = (name: keyof t.JobTemplate): boolean => flag(name, given[name], false);
  return {
    shebang: words('shebang'),
    submitAsHold: flags('submitAsHold'),
    rerunnable: flags('rerunnable'),
    jobEnvironment: environment('jobEnvironment', given.jobEnvironment),
    environmentVariablesDoubleQuotes: flags('environmentVariablesDoubleQuotes'),
    workingDirectory: words('workingDirectory'),
    email: words('email'),
    emailOnStarted: flags('emailOnStarted'),
    emailOnTerminated: flags('emailOnTerminated'),
    jobName: words('jobName'),
    schedOutputPath: words('schedOutputPath'),
    schedErrorPath: words('schedErrorPath'),
    schedJoinFiles: flags('schedJoinFiles'),
    queueName: words('queueName'),
    account: words('account'),
    qos: words('qos'),
    jobResource: given.jobResource && jobResource(given.jobResource),
    priority: words('priority'),
    maxMemoryKb: maybeS64('maxMemoryKb', given.maxMemoryKb),
    maxWallclockSeconds: maybeS64('maxWallclockSeconds', given.maxWallclockSeconds),
    customSchedulerCommands: words('customSchedulerCommands'),
    prependText: words('prependText'),
    appendText: words('appendText'),
    importSysEnvironment: flag('importSysEnvironment', given.importSysEnvironment, true),
    codesRunMode: oneOf('codesRunMode', given.codesRunMode, ['serial', 'parallel'], 'serial'),
    codesInfo: (given.codesInfo ?? []).map(codeInfo),
  };
}

function jobResource(given: t.JobResource): object {
  const names = ['numMachines', 'numMpiprocsPerMachine', 'numCoresPerMachine', 'numCoresPerMpiproc', 'totNumMpiprocs'] as const;
  return Object.fromEntries(names.map((name) => [name, maybeS64(name, given[name])]));
}

function codeInfo(given: t.CodeInfo): object {
  const [prepended, own] = given.useDoubleQuotes ?? [false, false];
  return {
    prependCmdlineParams: texts('prependCmdlineParams', given.prependCmdlineParams ?? []),
    cmdlineParams: texts('cmdlineParams', given.cmdlineParams),
    useDoubleQuotes: [flag('useDoubleQuotes', prepended, false), flag('useDoubleQuotes', own, false)],
    wrapCmdlineParams: flag('wrapCmdlineParams', given.wrapCmdlineParams, false),
    stdinName: maybeText('stdinName', given.stdinName),
    stdoutName: maybeText('stdoutName', given.stdoutName),
    stderrName: maybeText('stderrName', given.stderrName),
    joinFiles: flag('joinFiles', given.joinFiles, false),
  };
}

/** The contract's times, in seconds. */
const TIMES = new Set(['accessed', 'changed', 'submissionTime', 'dispatchTime', 'finishTime', 'start', 'end']);
/** Any 64 bits: a number would not hold them all. */
const WIDE = new Set(['inode', 'device']);

/** The component's values as JavaScript has them; what is missing is left out. */
export function natural(value: unknown, name = ''): unknown {
  if (typeof value === 'bigint') return naturalNumber(value, name);
  if (Array.isArray(value)) return value.map((item) => natural(item));
  if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value)) return value;
  const pairs = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(pairs.map(([key, item]) => [key, natural(item, key)]));
}

function naturalNumber(value: bigint, name: string): number | bigint | Date {
  if (WIDE.has(name)) return value;
  // A listing's `modified` is a text; where it is a number, it is a time.
  if (TIMES.has(name) || name === 'modified') return new Date(Number(value) * 1000);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value;
}
