// The contract (wit/*.wit) in JavaScript's words: camelCase, `number` for sizes and counts (`bigint` past 2^53), Date for times,
// an optional property for what may be missing. What each function does is written in the contract.

/** What can accompany every call. */
export interface CallOptions {
  /**
   * Stops the call. Transfers, commands and waits clean up and end within about a second with the kind `cancelled` (or `outcome-unknown`); a
   * question is given up at once. Other short changes run to their end once begun.
   */
  signal?: AbortSignal | undefined;
  /** Is told how it goes, at most ten times a second; `false` stops it. `put`, `get`, `copyTo`, `copy`, `exec`, `wait`, streams, … tell. */
  onProgress?: ((progress: Progress) => void | boolean) | undefined;
}

export interface Progress {
  /** `put`, `get`, `wait`, … */
  operation: string;
  path: string;
  bytesDone: number;
  bytesTotal?: number;
  filesDone: number;
  filesTotal?: number;
}

export type FileKind = 'regular' | 'directory' | 'symlink' | 'block-device' | 'character-device' | 'fifo' | 'socket' | 'unknown';

export interface FileStat {
  kind: FileKind;
  /** Type and permission bits: `st_mode`. */
  mode: number;
  size: number;
  /** Any 64 bits. */
  inode: bigint;
  device: bigint;
  links: number;
  uid: number;
  gid: number;
  accessed: Date;
  modified: Date;
  changed: Date;
}

export interface Entry {
  /** Relative to the listed directory. */
  path: string;
  /** The bytes of `path` where they are not UTF-8. */
  rawPath?: Uint8Array;
  kind: FileKind;
  size: number;
  /** At most 0o7777. */
  permissions: number;
  owner: string;
  group: string;
  /** `YYYY-MM-DDTHH:MM:SS` in the cluster's own time zone, which the server does not tell: so no Date. */
  modified: string;
  linkTarget?: string;
}

export interface ListOptions extends CallOptions {
  recursive?: boolean;
  hidden?: boolean;
  /** A shell pattern for the last name. */
  pattern?: string;
}

/** The defaults are AiiDA's: replace, follow symlinks, a missing source is an error. */
export interface TransferOptions extends CallOptions {
  overwrite?: 'replace' | 'fail' | 'skip';
  dereference?: boolean;
  ignoreNonexisting?: boolean;
  parents?: boolean;
  /** As the option `checksum_check` says, unless given. */
  verify?: boolean;
  size?: number;
  mode?: number;
}

export interface TransferSummary {
  files: number;
  directories: number;
  bytes: number;
  skipped: number;
  verified: 'none' | 'size' | 'checksum';
}

export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz';

export interface CompressOptions extends CallOptions {
  /** `gzip` unless given. */
  compression?: Compression;
  root?: string;
  dereference?: boolean;
  pattern?: string;
  overwrite?: boolean;
}

export interface ExtractOptions extends CallOptions {
  compression?: Compression;
  stripComponents?: number;
}

export interface Command {
  /** A shell command line. */
  line: string;
  workingDirectory?: string;
  environment?: Record<string, string>;
  stdin?: Uint8Array | string;
  /** Seconds. */
  timeLimit?: number;
}

export interface CommandOutput {
  exitCode: number;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

export interface Identity {
  name: string;
  uid?: number;
  group?: string;
  gid?: number;
  groups: string[];
  accounts: string[];
  defaultAccount?: string;
}

export interface PluginInfo {
  name: string;
  version: string;
  summary: string;
}

export interface OptionDescription {
  name: string;
  kind: 'text' | 'secret' | 'integer' | 'number' | 'flag';
  prompt: string;
  help: string;
  default?: string;
  required: boolean;
}

export interface SystemInfo {
  name: string;
  scheduler: string;
  schedulerVersion: string;
  services: { kind: string; path?: string; healthy: boolean; message?: string }[];
  fileSystems: { path: string; kind: string; defaultWorkDirectory: boolean }[];
  uploadLimit: number;
  downloadLimit: number;
  transferMethod?: string;
  partSize?: number;
}

export interface ServerInfo {
  product: string;
  version: string;
  systems: SystemInfo[];
  user: Identity;
}

/** One program of a job. */
export interface CodeInfo {
  prependCmdlineParams?: string[];
  cmdlineParams: string[];
  useDoubleQuotes?: [boolean, boolean];
  wrapCmdlineParams?: boolean;
  stdinName?: string;
  stdoutName?: string;
  stderrName?: string;
  joinFiles?: boolean;
}

export interface JobResource {
  numMachines?: number;
  numMpiprocsPerMachine?: number;
  numCoresPerMachine?: number;
  numCoresPerMpiproc?: number;
  totNumMpiprocs?: number;
}

/** What a job script is made from: AiiDA's JobTemplate. What is left out is as AiiDA has it by default. */
export interface JobTemplate {
  shebang?: string;
  submitAsHold?: boolean;
  rerunnable?: boolean;
  /** In the order of its keys. */
  jobEnvironment?: Record<string, string>;
  environmentVariablesDoubleQuotes?: boolean;
  workingDirectory?: string;
  email?: string;
  emailOnStarted?: boolean;
  emailOnTerminated?: boolean;
  jobName?: string;
  schedOutputPath?: string;
  schedErrorPath?: string;
  schedJoinFiles?: boolean;
  queueName?: string;
  account?: string;
  qos?: string;
  jobResource?: JobResource;
  priority?: string;
  maxMemoryKb?: number;
  maxWallclockSeconds?: number;
  customSchedulerCommands?: string;
  prependText?: string;
  appendText?: string;
  importSysEnvironment?: boolean;
  codesRunMode?: 'serial' | 'parallel';
  codesInfo?: CodeInfo[];
}

/** A job to submit: its script's text, or the path of one on the cluster. */
export type Submission = ({ script: string; scriptPath?: never } | { scriptPath: string; script?: never }) & {
  /** An absolute path on the cluster. */
  workingDirectory: string;
  name?: string;
  account?: string;
  environment?: Record<string, string>;
};

export type JobState = 'undetermined' | 'queued' | 'queued-held' | 'running' | 'suspended' | 'done';

export interface JobInfo {
  jobId: string;
  title?: string;
  exitStatus?: number;
  terminatingSignal?: number;
  annotation?: string;
  jobState: JobState;
  rawState: string;
  allocatedMachines: { name: string; numMpiprocs?: number; numCpus?: number }[];
  allocatedMachinesRaw?: string;
  jobOwner?: string;
  numMpiprocs?: number;
  numCpus?: number;
  numMachines?: number;
  queueName?: string;
  account?: string;
  qos?: string;
  wallclockTimeSeconds?: number;
  requestedWallclockTimeSeconds?: number;
  cpuTime?: number;
  submissionTime?: Date;
  dispatchTime?: Date;
  finishTime?: Date;
  workingDirectory?: string;
  /** The server's answer for this job, as JSON. */
  rawData: string;
}

export interface JobListing {
  jobs: JobInfo[];
  /** Ids that the scheduler does not know. */
  missing: string[];
}

export interface WaitOptions extends CallOptions {
  /** `finished` unless given. */
  until?: 'started' | 'finished';
  /** For all jobs, unless false: then for the first. */
  all?: boolean;
  /** Milliseconds; when they run out, the answer is the state as it is then. */
  timeout?: number;
}

export type CancelOutcome =
  | { id: string; outcome: 'cancelled' | 'already-finished' | 'not-found' }
  | { id: string; outcome: 'failed'; error: import('./errors.js').FirecrestError };

export interface JobDetails {
  info: JobInfo;
  steps: {
    id: string;
    name: string;
    rawState: string;
    exitStatus?: number;
    terminatingSignal?: number;
    wallclockTimeSeconds?: number;
  }[];
  script?: string;
  standardInput?: string;
  standardOutput?: string;
  standardError?: string;
}

export interface Partition {
  name: string;
  cpus?: number;
  nodes?: number;
  state: string;
}

export interface Node {
  name: string;
  states: string[];
  cpus?: number;
  idleCpus?: number;
  /** Megabytes. */
  freeMemory?: number;
  partitions: string[];
  features?: string;
}

export interface Reservation {
  name: string;
  state?: string;
  nodes?: string;
  start?: Date;
  end?: Date;
  features?: string;
}
