// What a session may reach: origins and folders. The rules are those of the Rust host (host/src/policy.rs), written once more.
import { existsSync, realpathSync, statSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import { FirecrestError } from './errors.js';

/** Scheme, host and port of a server; compared as a whole. There are no wildcards. */
export class Origin {
  private constructor(
    readonly tls: boolean,
    readonly host: string,
    readonly port: number,
  ) {}

  /** Parses `https://host`, `https://host:8443`, `http://[::1]:8000`. A path, a user name or another scheme is refused. */
  static parse(text: string): Origin {
    const match = split(text);
    if (!['', '/'].includes(match.rest)) throw refused(text, 'an origin has no path: scheme, host and port only');
    return Origin.#of(match, text);
  }

  /** The origin of an address, whatever its path and query. */
  static ofUrl(text: string): Origin {
    return Origin.#of(split(text), text);
  }

  static #of({ scheme, authority }: Parts, text: string): Origin {
    if (scheme !== 'http' && scheme !== 'https') throw refused(text, `its scheme is ${scheme}, not http or https`);
    // Not shown: it may be a password.
    if (authority.includes('@')) throw refused('', 'an origin has no user name or password');
    const [, name = '', digits] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(authority) ?? [];
    const host = canonical(name);
    if (host === undefined) throw refused(text, 'its host is not a name or an address');
    const tls = scheme === 'https';
    const port = digits === undefined ? standardPort(tls) : Number(digits);
    if (digits !== undefined && (!/^\d{1,5}$/.test(digits) || port > 65535)) {
      throw refused(text, 'its port is not a number up to 65535');
    }
    return new Origin(tls, host, port);
  }

  /**
   * May a server at this origin say that another one is allowed, too? Not if that one is less safe: without TLS where this one has
   * it, an address in place of a name, or this machine where the server is another.
   */
  mayName(other: Origin): boolean {
    return (
      (other.tls || !this.tls) &&
      (!isAddress(other.host) || isAddress(this.host)) &&
      (!isLocal(other.host) || isLocal(this.host))
    );
  }

  toString(): string {
    const shown = this.port === standardPort(this.tls) ? '' : `:${this.port}`;
    return `${this.tls ? 'https' : 'http'}://${this.host}${shown}`;
  }
}

interface Parts {
  scheme: string;
  authority: string;
  rest: string;
}

function standardPort(tls: boolean): number {
  return tls ? 443 : 80;
}

function split(text: string): Parts {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#\\\s]*)([^\s]*)$/.exec(text.trim());
  if (!match) throw refused(text, 'not an address such as https://host or http://127.0.0.1:8000');
  return { scheme: match[1]!.toLowerCase(), authority: match[2]!, rest: match[3]! };
}

function refused(subject: string, reason: string): FirecrestError {
  // A text with a user name in it may hold a password.
  const shown = subject.includes('@') ? '' : subject;
  return new FirecrestError(shown ? `${shown}: ${reason}` : reason, { kind: 'policy', subject: shown });
}

/** A host as it is compared. What ends in a number is an address to resolvers (`127.1`, `0x7f.0.0.1`), so it has to be one here. */
function canonical(host: string): string | undefined {
  if (host.startsWith('[')) {
    const inner = host.slice(1, -1);
    return host.endsWith(']') && isIPv6(inner) && !inner.includes('%') ? new URL(`http://${host}`).hostname : undefined;
  }
  if (!/^[A-Za-z0-9._-]+$/.test(host)) return undefined;
  const lower = host.toLowerCase();
  const last = lower.replace(/\.+$/, '').split('.').at(-1) ?? '';
  const numeric = /^\d+$/.test(last) || /^0x[0-9a-f]*$/.test(last);
  return numeric && !isIPv4(lower) ? undefined : lower;
}

function isAddress(host: string): boolean {
  return host.startsWith('[') || isIPv4(host);
}

/** Does a host, by its text alone, lead to this machine or its link? */
export function isLocal(host: string): boolean {
  const name = host.replace(/\.+$/, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || isLocalAddress(name.replace(/^\[|\]$/g, ''));
}

/** Loopback, unspecified (which is loopback to connect to), link-local: where clouds tell credentials. */
export function isLocalAddress(address: string): boolean {
  if (isIPv4(address)) return /^(127\.|169\.254\.)/.test(address) || address === '0.0.0.0';
  if (!isIPv6(address)) return false;
  const plain = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(plain);
  if (mapped) {
    const [high, low] = [parseInt(mapped[1]!, 16), parseInt(mapped[2]!, 16)];
    return isLocalAddress(`${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`);
  }
  return plain === '::1' || plain === '::' || /^fe[89ab][0-9a-f]:/.test(plain);
}

/** The origins of the options that hold an address. An option that holds none adds none: the component says what is wrong with it. */
export function originsOf(values: readonly (readonly [string, string])[]): Origin[] {
  const found: Origin[] = [];
  for (const [name, value] of values) {
    if (name !== 'url' && !name.endsWith('_url') && !name.endsWith('_uri')) continue;
    try {
      found.push(Origin.ofUrl(value));
    } catch {
      // Named by the component.
    }
  }
  return found;
}

/** A folder that a session may use, and what for. */
export interface Folder {
  /** An absolute path. */
  path: string;
  access: 'read' | 'write';
}

/** A local path as the component is told it: absolute, and without `..`, which it refuses because of where symlinks lead. */
export function plainPath(local: string): string {
  if (!isAbsolute(local)) throw refused(local, 'a local path has to be absolute');
  if (!local.split('/').includes('..')) return normalize(local).replace(/(.)\/+$/, '$1');
  try {
    return basename(local) === '..' ? realpathSync(local) : join(realpathSync(dirname(local)), basename(local));
  } catch (error) {
    throw localError(local, error);
  }
}

/** The folders that one `put` or `get` needs: the path itself where it is a folder, else the nearest that is there around it. */
export function foldersFor(local: string, access: Folder['access'], parents: boolean): Folder[] {
  let folder = isDirectory(local) ? local : dirname(local);
  // A pattern is for the component to expand; the grant begins above its first special character.
  while (!existsSync(folder) && /[*?[]/.test(folder)) folder = dirname(folder);
  while (parents && !existsSync(folder)) folder = dirname(folder);
  return [{ path: folder, access }];
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** An error of the operating system about a local path. */
export function localError(path: string, error: unknown): FirecrestError {
  const { code, message } = error as NodeJS.ErrnoException;
  const kinds: Record<string, 'not-found' | 'permission-denied' | 'not-a-directory'> = {
    ENOENT: 'not-found',
    EACCES: 'permission-denied',
    EPERM: 'permission-denied',
    ENOTDIR: 'not-a-directory',
  };
  return new FirecrestError(`local ${path}: ${message}`, { kind: kinds[code ?? ''] ?? 'local-file', subject: path, path });
}
