// wasi:filesystem over the folders that one call was granted, and the permission bits that it has no words for. All of it is
// synchronous: this thread blocks anyway while the component runs.
import * as fs from 'node:fs';
import { localError, type Folder } from '../policy.js';
import { HAS_PROC, OpenFolder, beneath } from './beneath.js';
import { InputStream, OutputStream, closed, failed, type IoError } from './streams.js';

const PIECE = 256 << 10;
/** Linux's, which node:fs does not name: the file is held without being opened, whatever its permission bits. */
const O_PATH = 0o10000000;
const dispose: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('dispose');

/** What a call may use; all of it is closed when the next one begins. */
export class Grants {
  readonly #granted: { name: string; root: Descriptor }[] = [];
  readonly #open = new Set<{ close(): void }>();

  constructor(folders: Folder[]) {
    for (const { path, access } of folders) {
      try {
        const folder = OpenFolder.open(path);
        this.#granted.push({ name: path, root: new Descriptor(this, access === 'write', folder) });
      } catch (error) {
        this.close();
        throw localError(path, error);
      }
    }
  }

  directories(): [Descriptor, string][] {
    // The component drops what it is given, so each call gets handles of its own.
    return this.#granted.map(({ name, root }) => [root.another(), name]);
  }

  keep(opened: { close(): void }): void {
    this.#open.add(opened);
  }

  drop(opened: { close(): void }): void {
    if (this.#open.delete(opened)) opened.close();
  }

  close(): void {
    for (const opened of this.#open) opened.close();
    this.#open.clear();
    this.#granted.length = 0;
  }

  /** The permission bits of what `path` names, following symlinks. */
  permissions(path: string): number | undefined {
    return this.#at(path, (name) => fs.statSync(name).mode & 0o777, () => true);
  }

  setPermissions(path: string, mode: number): boolean {
    const done = this.#at(path, (name) => (fs.chmodSync(name, mode & 0o777), true), (root) => root.writable);
    return done ?? false;
  }

  #at<T>(path: string, use: (name: string) => T, may: (root: Descriptor) => boolean): T | undefined {
    if (!path.startsWith('/') || path.split('/').includes('..')) return undefined;
    const around = this.#granted.filter(({ name }) => path === name || path.startsWith(name === '/' ? '/' : `${name}/`));
    const granted = around.sort((a, b) => b.name.length - a.name.length)[0];
    if (!granted || !may(granted.root)) return undefined;
    try {
      const rest = path.slice(granted.name.length).replace(/^\/+/, '');
      return beneath(granted.root.folder(), rest, true, (folder, name) => {
        if (!HAS_PROC) return use(folder.at(name));
        // chmod(2) follows symlinks: the last name, which is none, is held so that nobody makes it one meanwhile.
        const fd = fs.openSync(folder.at(name), O_PATH | fs.constants.O_NOFOLLOW);
        try {
          if (fs.fstatSync(fd).isSymbolicLink()) return undefined;
          return use(`/proc/self/fd/${fd}`);
        } finally {
          fs.closeSync(fd);
        }
      });
    } catch {
      return undefined;
    }
  }
}

/** An open file, kept as long as its descriptor and its streams. */
class OpenFile {
  #users = 1;

  constructor(
    readonly fd: number,
    private readonly grants: Grants,
  ) {
    grants.keep(this);
  }

  isOpen = true;

  use(): this {
    this.#users += 1;
    return this;
  }

  leave(): void {
    if (--this.#users === 0) this.grants.drop(this);
  }

  close(): void {
    if (this.isOpen) fs.closeSync(this.fd);
    this.isOpen = false;
  }

  /** The descriptor, unless what was granted has been taken back. */
  get(): number {
    if (!this.isOpen) throw 'bad-descriptor';
    return this.fd;
  }
}

type Time = { seconds: bigint; nanoseconds: number };
type NewTime = { tag: 'no-change' | 'now' } | { tag: 'timestamp'; val: Time };
type Flags = Record<string, boolean | undefined>;

/** A file or a folder. */
export class Descriptor {
  #folder: OpenFolder | undefined;
  #file: OpenFile | undefined;
  #closed = false;

  constructor(
    private readonly grants: Grants,
    readonly writable: boolean,
    opened: OpenFolder | OpenFile,
  ) {
    if (opened instanceof OpenFolder) {
      this.#folder = opened;
      grants.keep(opened);
    } else {
      this.#file = opened;
    }
  }

  another(): Descriptor {
    return new Descriptor(this.grants, this.writable, this.folder().below('.'));
  }

  folder(): OpenFolder {
    if (this.#closed) throw 'bad-descriptor';
    if (!this.#folder) throw 'not-directory';
    return this.#folder;
  }

  #openFile(): OpenFile {
    if (this.#closed) throw 'bad-descriptor';
    if (!this.#file) throw 'is-directory';
    return this.#file;
  }

  #mayChange(): void {
    if (!this.writable) throw 'not-permitted';
  }

  readViaStream(offset: bigint): InputStream {
    return new FileReader(this.#openFile().use(), Number(offset));
  }

  writeViaStream(offset: bigint): OutputStream {
    this.#mayChange();
    return new FileWriter(this.#openFile().use(), Number(offset));
  }

  /** A piece of a file, and whether that was its end. */
  read(length: bigint, offset: bigint): [Uint8Array, boolean] {
    const fd = this.#openFile().get();
    const buffer = new Uint8Array(Math.min(Number(length), PIECE));
    const read = attempt(() => fs.readSync(fd, buffer, 0, buffer.length, Number(offset)));
    return [buffer.subarray(0, read), read === 0 && buffer.length > 0];
  }

  write(buffer: Uint8Array, offset: bigint): bigint {
    this.#mayChange();
    const fd = this.#openFile().get();
    return attempt(() => BigInt(fs.writeSync(fd, buffer, 0, buffer.length, Number(offset))));
  }

  setTimes(accessed: NewTime, modified: NewTime): void {
    this.#mayChange();
    const fd = this.#openFile().get();
    attempt(() => {
      const stat = fs.fstatSync(fd);
      fs.futimesSync(fd, seconds(accessed, stat.atimeMs), seconds(modified, stat.mtimeMs));
    });
  }

  readDirectory(): DirectoryEntryStream {
    const folder = this.folder();
    return attempt(() => new DirectoryEntryStream(fs.readdirSync(folder.at('.'), { withFileTypes: true })));
  }

  createDirectoryAt(path: string): void {
    this.#mayChange();
    this.#at(path, false, (folder, name) => fs.mkdirSync(folder.at(name)));
  }

  stat(): object {
    const fd = this.#closed ? undefined : (this.#file?.get() ?? this.#folder?.fd);
    if (fd === undefined) throw 'bad-descriptor';
    return attempt(() => description(fs.fstatSync(fd, { bigint: true })));
  }

  statAt(flags: Flags, path: string): object {
    return this.#at(path, flags.symlinkFollow, (folder, name) => description(fs.lstatSync(folder.at(name), { bigint: true })));
  }

  linkAt(flags: Flags, path: string, other: Descriptor, newPath: string): void {
    this.#mayChange();
    other.#mayChange();
    this.#at(path, flags.symlinkFollow, (from, name) => {
      other.#at(newPath, false, (to, newName) => fs.linkSync(from.at(name), to.at(newName)));
    });
  }

  openAt(flags: Flags, path: string, how: Flags, access: Flags): Descriptor {
    if (how.create || how.truncate || how.exclusive || access.write || access.mutateDirectory) this.#mayChange();
    return this.#at(path, flags.symlinkFollow, (folder, name) => {
      const stat = fs.lstatSync(folder.at(name), { throwIfNoEntry: false });
      if (how.directory || stat?.isDirectory()) {
        if (access.write) throw 'is-directory';
        return new Descriptor(this.grants, this.writable, folder.below(name));
      }
      const { O_CREAT, O_EXCL, O_TRUNC, O_RDWR, O_WRONLY, O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
      const mode = access.write ? (access.read ? O_RDWR : O_WRONLY) : O_RDONLY;
      const made = (how.create ? O_CREAT : 0) | (how.exclusive ? O_EXCL : 0) | (how.truncate ? O_TRUNC : 0);
      // A fifo that nobody writes to must not hold this thread.
      const fd = fs.openSync(folder.at(name), mode | made | O_NOFOLLOW | O_NONBLOCK, 0o666);
      return new Descriptor(this.grants, this.writable, new OpenFile(fd, this.grants));
    });
  }

  readlinkAt(path: string): string {
    const target = this.#at(path, false, (folder, name) => fs.readlinkSync(folder.at(name)));
    if (target.startsWith('/')) throw 'not-permitted';
    return target;
  }

  removeDirectoryAt(path: string): void {
    this.#mayChange();
    this.#at(path, false, (folder, name) => fs.rmdirSync(folder.at(name)));
  }

  renameAt(path: string, other: Descriptor, newPath: string): void {
    this.#mayChange();
    other.#mayChange();
    this.#at(path, false, (from, name) => {
      other.#at(newPath, false, (to, newName) => fs.renameSync(from.at(name), to.at(newName)));
    });
  }

  symlinkAt(target: string, path: string): void {
    this.#mayChange();
    if (target.startsWith('/')) throw 'not-permitted';
    this.#at(path, false, (folder, name) => fs.symlinkSync(target, folder.at(name)));
  }

  unlinkFileAt(path: string): void {
    this.#mayChange();
    this.#at(path, false, (folder, name) => fs.unlinkSync(folder.at(name)));
  }

  metadataHashAt(flags: Flags, path: string): { upper: bigint; lower: bigint } {
    return this.#at(path, flags.symlinkFollow, (folder, name) => {
      const { dev, ino } = fs.lstatSync(folder.at(name), { bigint: true });
      return { upper: BigInt.asUintN(64, dev), lower: BigInt.asUintN(64, ino) };
    });
  }

  #at<T>(path: string, follow: boolean | undefined, use: (folder: OpenFolder, name: string) => T): T {
    const folder = this.folder();
    return attempt(() => beneath(folder, path, follow ?? false, use));
  }

  [dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file?.leave();
    if (this.#folder) this.grants.drop(this.#folder);
  }
}

export class DirectoryEntryStream {
  #next = 0;

  constructor(private readonly entries: fs.Dirent[]) {}

  readDirectoryEntry(): { type: string; name: string } | undefined {
    const entry = this.entries[this.#next++];
    // Names that are not UTF-8 come with replacement characters: no such file would be found.
    if (entry?.name.includes('\ufffd')) throw 'illegal-byte-sequence';
    return entry && { type: kind(entry), name: entry.name };
  }
}

class FileReader extends InputStream {
  constructor(
    private readonly file: OpenFile,
    private position: number,
  ) {
    super();
  }

  override hasSome(): boolean {
    return true;
  }

  override take(max: number): Uint8Array {
    const buffer = new Uint8Array(Math.min(max, PIECE));
    if (buffer.length === 0) return buffer;
    const read = attemptStream(() => fs.readSync(this.file.get(), buffer, 0, buffer.length, this.position));
    if (read === 0) throw closed();
    this.position += read;
    return read === buffer.length ? buffer : buffer.slice(0, read);
  }

  [dispose](): void {
    this.file.leave();
  }
}

class FileWriter extends OutputStream {
  #failure: unknown;

  constructor(
    private readonly file: OpenFile,
    private position: number,
  ) {
    super();
  }

  override room(): number {
    if (this.#failure !== undefined) throw this.#failure;
    return PIECE;
  }

  override give(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        const at = this.position + done;
        done += attemptStream(() => fs.writeSync(this.file.get(), bytes, done, bytes.length - done, at));
      }
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    this.position += bytes.length;
  }

  override isFlushed(): boolean {
    return true;
  }

  [dispose](): void {
    this.file.leave();
  }
}

function seconds(time: NewTime, now: number): number {
  if (time.tag === 'no-change') return now / 1000;
  return time.tag === 'timestamp' ? Number(time.val.seconds) + time.val.nanoseconds / 1e9 : Date.now() / 1000;
}

function kind(entry: fs.Dirent | fs.BigIntStats): string {
  if (entry.isFile()) return 'regular-file';
  if (entry.isDirectory()) return 'directory';
  if (entry.isSymbolicLink()) return 'symbolic-link';
  if (entry.isFIFO()) return 'fifo';
  if (entry.isSocket()) return 'socket';
  if (entry.isBlockDevice()) return 'block-device';
  return entry.isCharacterDevice() ? 'character-device' : 'unknown';
}

function description(stat: fs.BigIntStats): object {
  return {
    type: kind(stat),
    linkCount: stat.nlink,
    size: stat.size,
    dataAccessTimestamp: time(stat.atimeNs),
    dataModificationTimestamp: time(stat.mtimeNs),
    statusChangeTimestamp: time(stat.ctimeNs),
  };
}

/** None before 1970: WASI's seconds have no sign. */
function time(ns: bigint): Time | undefined {
  return ns < 0n ? undefined : { seconds: ns / 1_000_000_000n, nanoseconds: Number(ns % 1_000_000_000n) };
}

const CODES: Record<string, string> = {
  EACCES: 'access',
  EBADF: 'bad-descriptor',
  EBUSY: 'busy',
  EDQUOT: 'quota',
  EEXIST: 'exist',
  EFBIG: 'file-too-large',
  EILSEQ: 'illegal-byte-sequence',
  EINTR: 'interrupted',
  EINVAL: 'invalid',
  EIO: 'io',
  EISDIR: 'is-directory',
  ELOOP: 'loop',
  EMFILE: 'insufficient-memory',
  EMLINK: 'too-many-links',
  ENAMETOOLONG: 'name-too-long',
  ENODEV: 'no-device',
  ENOENT: 'no-entry',
  ENOMEM: 'insufficient-memory',
  ENOSPC: 'insufficient-space',
  ENOTDIR: 'not-directory',
  ENOTEMPTY: 'not-empty',
  ENOTSUP: 'unsupported',
  ENXIO: 'no-such-device',
  EPERM: 'not-permitted',
  EPIPE: 'pipe',
  EROFS: 'read-only',
  ETXTBSY: 'text-file-busy',
  EXDEV: 'cross-device',
};

function codeOf(error: unknown): string {
  return typeof error === 'string' ? error : (CODES[(error as NodeJS.ErrnoException).code ?? ''] ?? 'io');
}

/** node:fs's errors become WASI's codes. */
function attempt<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw codeOf(error);
  }
}

function attemptStream<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = codeOf(error);
    throw failed(typeof error === 'string' ? error : (error as Error).message, { filesystem: code });
  }
}

export function filesystemErrorCode(error: IoError): string | undefined {
  return error.code && 'filesystem' in error.code ? error.code.filesystem : undefined;
}
