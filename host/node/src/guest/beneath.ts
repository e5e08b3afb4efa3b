// Paths below a granted folder that nothing leads out of.
//
// Node has no openat(2). On Linux `/proc/self/fd/N/name` is the same: each name is opened below the folder that is already open, and
// never through a symlink, so that neither `..` nor a symlink nor a folder exchanged meanwhile leads out. Where there is no such
// /proc, the folder's path takes its place: symlinks are still followed by us alone, but a folder that somebody else exchanges for a
// symlink between our look and our use would be followed (README, limits).
import { closeSync, constants, existsSync, lstatSync, openSync, readlinkSync } from 'node:fs';

const MOST_SYMLINKS = 40;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
export const HAS_PROC = existsSync('/proc/self/fd');

/** An open folder. */
export class OpenFolder {
  #open = true;

  private constructor(
    private readonly number: number,
    /** Where it was when it was opened. */
    private readonly path: string,
  ) {}

  /** Checked each time: the number of a closed descriptor can be another file's by now. */
  get fd(): number {
    if (!this.#open) throw 'bad-descriptor';
    return this.number;
  }

  static open(path: string): OpenFolder {
    return new OpenFolder(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY), path);
  }

  /** A name for node:fs; `.` is the folder itself. */
  at(name: string): string {
    const fd = this.fd;
    const folder = HAS_PROC ? `/proc/self/fd/${fd}` : this.path;
    return name === '.' ? `${folder}/.` : `${folder}/${name}`;
  }

  below(name: string): OpenFolder {
    return new OpenFolder(openSync(this.at(name), DIRECTORY), `${this.path}/${name}`);
  }

  close(): void {
    if (this.#open) closeSync(this.number);
    this.#open = false;
  }
}

/** WASI's word for a path that leads out. */
const OUT = 'not-permitted';

/**
 * Calls `use` with the folder that holds the last name of `path` and that name, which is no symlink where `follow` is given.
 * Throws WASI's error codes, or node:fs's errors.
 */
export function beneath<T>(root: OpenFolder, path: string, follow: boolean, use: (folder: OpenFolder, name: string) => T): T {
  if (path.startsWith('/') || path.includes('\0')) throw OUT;
  // Folders on the way, the innermost last. The root is not ours to close.
  const way: OpenFolder[] = [];
  const here = (): OpenFolder => way.at(-1) ?? root;
  const mustBeFolder = path.endsWith('/');
  const names = parts(path);
  let symlinks = 0;
  try {
    for (;;) {
      const name = names.shift();
      if (name === undefined) return use(here(), '.');
      if (name === '..') {
        const left = way.pop();
        if (!left) throw OUT;
        left.close();
        continue;
      }
      const last = names.length === 0;
      const stat = lstatSync(here().at(name), { throwIfNoEntry: false });
      if (stat?.isSymbolicLink() && (!last || follow || mustBeFolder)) {
        if (++symlinks > MOST_SYMLINKS) throw 'loop';
        const target = readlinkSync(here().at(name));
        if (target.startsWith('/')) throw OUT;
        names.unshift(...parts(target));
        continue;
      }
      if (last) {
        if (mustBeFolder && stat && !stat.isDirectory()) throw 'not-directory';
        return use(here(), name);
      }
      way.push(here().below(name));
    }
  } finally {
    for (const folder of way) folder.close();
  }
}

function parts(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
