import type { Readable, Writable } from 'node:stream';
import { inspect } from 'node:util';
import * as c from './convert.js';
import { Engine, contractError, type CallSettings } from './engine.js';
import { FirecrestError, invalid } from './errors.js';
import { Options, type OptionsLike } from './options.js';
import { Origin, foldersFor, originsOf, plainPath, type Folder } from './policy.js';
import type { Call, ContractError, OptionValues, Place } from './protocol.js';
import { readable, writable } from './streams.js';
import type * as t from './types.js';

/** What a session may reach and use. */
export interface Policy {
  /** Allowed beside those of the options `url` and `token_uri` and the object store that the server names: `https://host:port`. */
  allowOrigins?: readonly string[];
  /** Allowed in place of them all. An empty list allows nothing. */
  onlyOrigins?: readonly string[];
  /**
   * Folders for all calls. Without them, each `put` may read the folder around its local path, each `get` may write there, and nothing
   * else is seen.
   */
  folders?: readonly (string | Folder)[];
  /** The component's memory in bytes: 256 MiB unless given. */
  memory?: number;
  /** How long one call may take, in milliseconds: 24 hours unless given. Then the session is ended. */
  deadline?: number;
  /** Certificates (PEM files) to trust beside Node's and the system's. */
  caFiles?: readonly string[];
}

export interface OpenOptions extends Policy {
  /** The `state()` of another session with the same options: opens without a request. */
  state?: Uint8Array;
  /** Gives the opening up. */
  signal?: AbortSignal;
  /** For every call of the session that has none of its own. */
  onProgress?: t.CallOptions['onProgress'];
}

const MEMORY = 256 << 20;
const DEADLINE_MS = 24 * 60 * 60 * 1000;
const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose');

/** A second session in the same worker, to copy to: `openPeer`, `copyTo`. */
export interface Peer {
  readonly kind: 'peer';
}

const peerIds = new WeakMap<Peer, { engine: Engine; id: number }>();
const engines = new WeakMap<Session, Engine>();

/** @internal For tests. */
export function engineOf(session: Session): Engine {
  return engines.get(session)!;
}

/**
 * An open transport and scheduler, in a worker of its own: a call never blocks the event loop. One call runs at a time, others wait for
 * their turn; for several at once open several sessions, and give each the `state()` of the first.
 *
 * Every method rejects with a `FirecrestError`. Remote paths are absolute POSIX paths.
 */
export class Session {
  readonly #engine: Engine;
  readonly #folders: readonly Folder[];
  readonly #onProgress: t.CallOptions['onProgress'];
  #origins: readonly string[];

  private constructor(engine: Engine, folders: readonly Folder[], onProgress: t.CallOptions['onProgress'], origins: readonly string[]) {
    this.#engine = engine;
    this.#folders = folders;
    this.#onProgress = onProgress;
    this.#origins = origins;
    engines.set(this, engine);
  }

  /** Opens a session: the component checks the options, gets a token and asks the server for its version and limits. */
  static async open(options: OptionsLike, given: OpenOptions = {}): Promise<Session> {
    const { signal } = given;
    if (signal?.aborted) throw stopped('open', signal);
    const values = Options.pairs(options);
    const { origins, learns } = settledOrigins(values, given);
    const folders = (given.folders ?? []).map(folderOf);
    const open = { values, state: given.state, origins, learns, caFiles: [...(given.caFiles ?? [])] };
    return withEngine(given, async (engine) => {
      const known = await engine.call({ target: 'open', name: 'open', args: [] }, { open, signal, harmless: true });
      return { engine, session: new Session(engine, folders, given.onProgress, known as string[]) };
    });
  }

  /** The origins that this session may reach: those of the options, those given, and the object store that the server named. */
  get allowedOrigins(): readonly string[] {
    return this.#origins;
  }

  /** Has it ended, by `close()` or by a fault? */
  get ended(): boolean {
    return this.#engine.hasEnded;
  }

  /** Ends the session and its worker, whatever it does. What runs is rejected with `session-ended`. */
  async close(): Promise<void> {
    await this.#engine.close();
  }

  async [asyncDispose](): Promise<void> {
    await this.close();
  }

  [inspect.custom](): string {
    return `Session { ${this.ended ? 'ended' : this.#origins.join(', ')} }`;
  }

  // What another session needs, and who we are.

  /** What another session needs to open without a request: opaque, and as secret as a password. */
  async state(): Promise<Uint8Array> {
    return this.#ask('state', []) as Promise<Uint8Array>;
  }

  /** Where else the server sends large files, as it says itself. */
  async origins(): Promise<string[]> {
    return this.#ask('origins', []) as Promise<string[]>;
  }

  /**
   * What is in the name of everything that this session makes on its way and removes again. Kept outside of the process, with the paths of
   * the calls, it lets another session `tidy` after a process that was killed.
   */
  async mark(): Promise<string> {
    return this.#ask('mark', []) as Promise<string>;
  }

  /**
   * Ends the jobs and removes the files that the sessions of a mark left on the cluster: in each of `places`, in the folder around it and in
   * that of temporary files. Only for sessions that are no more. Resolves to their number.
   */
  async tidy(mark: string, places: readonly string[], options?: t.CallOptions): Promise<number> {
    return this.#ask('tidy', [c.text('mark', mark), c.texts('places', places)], options) as Promise<number>;
  }

  async whoami(options?: t.CallOptions): Promise<t.Identity> {
    return this.#ask('whoami', [], options) as Promise<t.Identity>;
  }

  // Files on the cluster.

  /** Follows symlinks. */
  async stat(path: string, options?: t.CallOptions): Promise<t.FileStat> {
    return this.#ask('stat', [c.text('path', path)], options) as Promise<t.FileStat>;
  }

  /** Does not follow a symlink. */
  async lstat(path: string, options?: t.CallOptions): Promise<t.FileStat> {
    return this.#ask('lstat', [c.text('path', path)], options) as Promise<t.FileStat>;
  }

  async exists(path: string, options?: t.CallOptions): Promise<boolean> {
    return this.#ask('exists', [c.text('path', path)], options) as Promise<boolean>;
  }

  /** The entries of a directory with their attributes, in no particular order. */
  async list(path: string, options: t.ListOptions = {}): Promise<t.Entry[]> {
    return this.#ask('list', [c.text('path', path), c.listOptions(options)], options) as Promise<t.Entry[]>;
  }

  /** The absolute paths that match a shell pattern, sorted. */
  async glob(pattern: string, options?: t.CallOptions): Promise<string[]> {
    return this.#ask('glob', [c.text('pattern', pattern)], options) as Promise<string[]>;
  }

  async mkdir(path: string, options: t.CallOptions & { parents?: boolean; existOk?: boolean } = {}): Promise<void> {
    const { parents, existOk } = options;
    await this.#do('mkdir', [c.text('path', path), c.flag('parents', parents, false), c.flag('existOk', existOk, false)], options);
  }

  /** Removes a file, a symlink or an empty directory. `kind`: what it is known to be, which can save a request. */
  async remove(path: string, options: t.CallOptions & { kind?: t.FileKind } = {}): Promise<void> {
    await this.#do('remove', [c.text('path', path), c.maybeKind('kind', options.kind)], options);
  }

  /** Removes a directory with all that is in it, or a single file. */
  async removeTree(path: string, options?: t.CallOptions): Promise<void> {
    await this.#do('removeTree', [c.text('path', path)], options);
  }

  async rename(path: string, newPath: string, options?: t.CallOptions): Promise<void> {
    await this.#do('rename', [c.text('path', path), c.text('newPath', newPath)], options);
  }

  /** Copies on the cluster, into `target` where that is a directory. */
  async copy(path: string, target: string, options: t.CallOptions & { dereference?: boolean } = {}): Promise<void> {
    const dereference = c.flag('dereference', options.dereference, false);
    await this.#do('copy', [c.text('path', path), c.text('target', target), dereference], options);
  }

  /** Makes `link` point to `target`. */
  async symlink(target: string, link: string, options?: t.CallOptions): Promise<void> {
    await this.#do('symlink', [c.text('target', target), c.text('link', link)], options);
  }

  async readLink(path: string, options?: t.CallOptions): Promise<string> {
    return this.#ask('readLink', [c.text('path', path)], options) as Promise<string>;
  }

  async chmod(path: string, mode: number, options?: t.CallOptions): Promise<void> {
    await this.#do('chmod', [c.text('path', path), c.u32('mode', mode)], options);
  }

  async chown(path: string, owner: { uid?: number; gid?: number }, options?: t.CallOptions): Promise<void> {
    await this.#do('chown', [c.text('path', path), c.maybeU32('uid', owner.uid), c.maybeU32('gid', owner.gid)], options);
  }

  /** SHA-256, in hexadecimal digits. */
  async checksum(path: string, options?: t.CallOptions): Promise<string> {
    return this.#ask('checksum', [c.text('path', path)], options) as Promise<string>;
  }

  // Bytes.

  /** A file's bytes, or a piece of them; `too-large` past the server's direct limit: then `readStream` or `get`. */
  async read(path: string, options: t.CallOptions & { offset?: number; length?: number } = {}): Promise<Uint8Array> {
    const piece = [c.maybeU64('offset', options.offset) ?? 0n, c.maybeU64('length', options.length)];
    return this.#ask('read', [c.text('path', path), ...piece], options) as Promise<Uint8Array>;
  }

  /** Makes or replaces a file with these bytes. */
  async write(path: string, data: Uint8Array | ArrayBuffer | string, options: t.CallOptions & { mode?: number } = {}): Promise<void> {
    await this.#do('write', [c.text('path', path), c.bytes('data', data), c.maybeU32('mode', options.mode)], options);
  }

  /** A file of any size as a stream. The session serves nothing else until it ends or is destroyed. */
  readStream(path: string, options: t.CallOptions & { offset?: number; length?: number } = {}): Readable {
    const args = [c.text('path', path), c.maybeU64('offset', options.offset) ?? 0n, c.maybeU64('length', options.length)];
    const start = (place: Place, settings: CallSettings): Promise<unknown> =>
      this.#engine.call({ target: 'transport', name: 'readStream', args: [...args, place] }, settings);
    return readable(this.#engine, start, this.#told(options));
  }

  /** Makes or replaces a file of exactly `size` bytes. It is there when the stream has finished (`await pipeline(source, …)`); a stream that ends early leaves the old file. */
  writeStream(path: string, size: number, options: t.CallOptions & { mode?: number } = {}): Writable {
    const rest = [c.u64('size', size), c.maybeU32('mode', options.mode)];
    const name = c.text('path', path);
    const start = (place: Place, settings: CallSettings): Promise<unknown> =>
      this.#engine.call({ target: 'transport', name: 'writeStream', args: [name, place, ...rest] }, settings);
    return writable(this.#engine, start, size, this.#told(options));
  }

  // Between here and the cluster.

  /** Moves a local file or tree to the cluster. `local` is absolute and may end in a shell pattern. */
  async put(local: string, remote: string, options: t.TransferOptions = {}): Promise<t.TransferSummary> {
    const path = plainPath(c.text('local', local));
    const folders = this.#granted(path, 'read', false);
    const args = [path, c.text('remote', remote), c.transferOptions(options)];
    return this.#do('put', args, options, { folders }) as Promise<t.TransferSummary>;
  }

  /** Moves a remote file or tree here. `local` is absolute. */
  async get(remote: string, local: string, options: t.TransferOptions = {}): Promise<t.TransferSummary> {
    const path = plainPath(c.text('local', local));
    const folders = this.#granted(path, 'write', options.parents ?? false);
    const args = [c.text('remote', remote), path, c.transferOptions(options)];
    return this.#do('get', args, options, { folders }) as Promise<t.TransferSummary>;
  }

  /** Packs files and directories into an archive on the cluster. */
  async compress(sources: readonly string[], archive: string, options: t.CompressOptions = {}): Promise<void> {
    await this.#do('compress', [c.texts('sources', sources), c.text('archive', archive), c.compressOptions(options)], options);
  }

  /** Unpacks an archive on the cluster. */
  async extract(archive: string, target: string, options: t.ExtractOptions = {}): Promise<void> {
    await this.#do('extract', [c.text('archive', archive), c.text('target', target), c.extractOptions(options)], options);
  }

  /** Opens a second session in this worker. Its origins have to be allowed by this session's policy. */
  async openPeer(options: OptionsLike, given: { state?: Uint8Array; signal?: AbortSignal } = {}): Promise<Peer> {
    const open = { values: Options.pairs(options), state: given.state, origins: [], learns: false, caFiles: [] };
    const id = await this.#engine.call({ target: 'peer', name: 'open', args: [] }, { open, signal: given.signal });
    const peer: Peer = Object.freeze({ kind: 'peer' });
    peerIds.set(peer, { engine: this.#engine, id: id as number });
    return peer;
  }

  /** Copies a file or a tree to another session's cluster, streamed through. */
  async copyTo(path: string, peer: Peer, target: string, options: t.TransferOptions = {}): Promise<t.TransferSummary> {
    const known = peerIds.get(peer);
    if (known?.engine !== this.#engine) throw invalid('peer', 'it was not opened by openPeer of this session');
    const place: Place = { place: 'peer', id: known.id };
    const args = [c.text('path', path), place, c.text('target', target), c.transferOptions(options)];
    return this.#do('copyTo', args, options) as Promise<t.TransferSummary>;
  }

  /** Runs a command as a short job. A non-zero exit code is no error. */
  async exec(command: t.Command | string, options?: t.CallOptions): Promise<t.CommandOutput> {
    return this.#do('exec', [c.command(command)], options) as Promise<t.CommandOutput>;
  }

  // Jobs.

  /** Renders a job script: byte for byte AiiDA's. Sends nothing. */
  async script(template: t.JobTemplate): Promise<string> {
    return this.#engine.call({ target: 'scheduler', name: 'script', args: [c.jobTemplate(template)] }) as Promise<string>;
  }

  /** Submits a job and returns its id. */
  async submit(submission: t.Submission, options?: t.CallOptions): Promise<string> {
    return this.#job('submit', [c.submission(submission)], options, false) as Promise<string>;
  }

  /** Jobs by their ids; without ids, all of mine. */
  async jobs(ids?: readonly string[], options?: t.CallOptions): Promise<t.JobListing> {
    const query = ids === undefined ? { tag: 'mine' } : { tag: 'ids', val: c.texts('ids', ids) };
    return this.#job('jobs', [query], options, true) as Promise<t.JobListing>;
  }

  /** Asks the scheduler to end these jobs; the outcomes are in the order of the ids. */
  async cancel(ids: readonly string[] | string, options?: t.CallOptions): Promise<t.CancelOutcome[]> {
    const list = c.texts('ids', typeof ids === 'string' ? [ids] : ids);
    const outcomes = (await this.#job('cancel', [list], options, false)) as { tag: string; val?: ContractError }[];
    return outcomes.map(({ tag, val }, index) => {
      const id = list[index]!;
      return tag === 'failed' ? { id, outcome: 'failed', error: contractError('cancel', val!) } : { id, outcome: tag as 'cancelled' };
    });
  }

  /** Waits until the jobs have got that far, or the time is over. */
  async wait(ids: readonly string[] | string, options: t.WaitOptions = {}): Promise<t.JobListing> {
    const list = c.texts('ids', typeof ids === 'string' ? [ids] : ids);
    return this.#job('wait', [list, c.waitOptions(options)], options, false) as Promise<t.JobListing>;
  }

  /** A job's accounting, script and files. */
  async details(id: string, options?: t.CallOptions): Promise<t.JobDetails> {
    return this.#job('details', [c.text('id', id)], options, true) as Promise<t.JobDetails>;
  }

  async partitions(options?: t.CallOptions): Promise<t.Partition[]> {
    return this.#job('partitions', [], options, true) as Promise<t.Partition[]>;
  }

  async nodes(options?: t.CallOptions): Promise<t.Node[]> {
    return this.#job('nodes', [], options, true) as Promise<t.Node[]>;
  }

  async reservations(options?: t.CallOptions): Promise<t.Reservation[]> {
    return this.#job('reservations', [], options, true) as Promise<t.Reservation[]>;
  }

  /** A question: nothing changes, so it can be given up at once. */
  #ask(name: string, args: unknown[], options: t.CallOptions = {}): Promise<unknown> {
    return this.#call({ target: 'transport', name, args }, options, { harmless: true });
  }

  #do(name: string, args: unknown[], options: t.CallOptions = {}, more: CallSettings = {}): Promise<unknown> {
    return this.#call({ target: 'transport', name, args }, options, { folders: [...this.#folders], ...more });
  }

  #job(name: string, args: unknown[], options: t.CallOptions = {}, harmless: boolean): Promise<unknown> {
    return this.#call({ target: 'session', name, args }, options, { harmless });
  }

  async #call(call: Pick<Call, 'target' | 'name' | 'args'>, options: t.CallOptions, more: CallSettings): Promise<unknown> {
    const { signal, onProgress } = this.#told(options);
    const told = onProgress && ((status: unknown) => onProgress(c.natural(status) as t.Progress));
    try {
      return c.natural(await this.#engine.call(call, { ...more, signal, onProgress: told }));
    } catch (error) {
      // Where the caller waits, not where the worker's message arrived.
      if (error instanceof FirecrestError) Error.captureStackTrace(error);
      throw error;
    }
  }

  #told({ signal, onProgress = this.#onProgress }: t.CallOptions): t.CallOptions {
    if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalid('signal', 'it has to be an AbortSignal');
    return { signal, onProgress };
  }

  #granted(path: string, access: Folder['access'], parents: boolean): Folder[] {
    return this.#folders.length > 0 ? [...this.#folders] : foldersFor(path, access, parents);
  }
}

/** What the component says of itself. Sends nothing. */
export async function describe(): Promise<t.PluginInfo> {
  return pure('configuration', 'describe', []) as Promise<t.PluginInfo>;
}

/** All options, in the order in which a person should be asked. Sends nothing. */
export async function describeOptions(): Promise<t.OptionDescription[]> {
  return pure('configuration', 'options', []) as Promise<t.OptionDescription[]>;
}

/** Renders a job script without a session. */
export async function script(template: t.JobTemplate): Promise<string> {
  return pure('scheduler', 'script', [c.jobTemplate(template)]) as Promise<string>;
}

/** Connects with these options and says what the server says of itself. */
export async function check(options: OptionsLike, given: Policy & { signal?: AbortSignal } = {}): Promise<t.ServerInfo> {
  const values = Options.pairs(options);
  const { origins } = settledOrigins(values, given);
  const open = { values, origins, learns: false, caFiles: [...(given.caFiles ?? [])] };
  return oneCall(given, { target: 'configuration', name: 'check', args: [values] }, { open, signal: given.signal, harmless: true }) as Promise<t.ServerInfo>;
}

function pure(target: Call['target'], name: string, args: unknown[]): Promise<unknown> {
  return oneCall({}, { target, name, args }, {});
}

/** In a worker for this call alone. */
async function oneCall(policy: Policy, call: Pick<Call, 'target' | 'name' | 'args'>, settings: CallSettings): Promise<unknown> {
  const engine = await start(policy);
  try {
    return c.natural(await engine.call(call, settings));
  } finally {
    await engine.close();
  }
}

/** A worker that is ended again if the session does not open. */
async function withEngine(policy: Policy, open: (engine: Engine) => Promise<{ session: Session }>): Promise<Session> {
  const engine = await start(policy);
  try {
    return (await open(engine)).session;
  } catch (error) {
    await engine.close();
    throw error;
  }
}

function start({ memory = MEMORY, deadline = DEADLINE_MS }: Policy): Promise<Engine> {
  if (!(memory >= 1 << 20)) throw invalid('memory', 'it has to be at least 1 MiB, in bytes');
  if (!(deadline > 0)) throw invalid('deadline', 'it has to be a number of milliseconds above 0');
  return Engine.start(memory, deadline);
}

function settledOrigins(values: OptionValues, policy: Policy): { origins: string[]; learns: boolean } {
  const given = (policy.onlyOrigins ?? policy.allowOrigins ?? []).map((text) => Origin.parse(c.text('origin', text)).toString());
  if (policy.onlyOrigins) return { origins: given, learns: false };
  return { origins: [...originsOf(values).map(String), ...given], learns: true };
}

function folderOf(folder: string | Folder): Folder {
  const { path, access } = typeof folder === 'string' ? { path: folder, access: 'read' as const } : folder;
  if (access !== 'read' && access !== 'write') throw invalid('folders', "an access is 'read' or 'write'");
  return { path: plainPath(c.text('folder', path)), access };
}

function stopped(operation: string, signal: AbortSignal): FirecrestError {
  return new FirecrestError(`${operation} was stopped`, { kind: 'cancelled', operation, cause: signal.reason });
}
