/**
 * Why something failed: what a program decides by, without reading a message.
 *
 * The first seventeen are the contract's (`wit/types.wit`); the others are this package's own:
 *
 * - `policy`: an origin or a local path that cannot be what it has to be;
 * - `local-file`: a local folder, file or stream;
 * - `trapped`: the component has a fault; the session has ended;
 * - `memory`: it wanted more memory than it may have; the session has ended;
 * - `deadline`: a call took longer than it may; the session has ended;
 * - `session-ended`: this session ended earlier, or its worker died.
 */
export type ErrorKind =
  | 'not-found'
  | 'already-exists'
  | 'not-a-directory'
  | 'is-a-directory'
  | 'not-empty'
  | 'permission-denied'
  | 'unauthenticated'
  | 'invalid-argument'
  | 'too-large'
  | 'rate-limited'
  | 'timeout'
  | 'unavailable'
  | 'checksum-mismatch'
  | 'outcome-unknown'
  | 'cancelled'
  | 'unsupported'
  | 'other'
  | 'policy'
  | 'local-file'
  | 'trapped'
  | 'memory'
  | 'deadline'
  | 'session-ended';

/** What is known about a failure beside its message. */
export interface ErrorDetails {
  kind: ErrorKind;
  /** The function that failed, for example `put`. */
  operation?: string | undefined;
  /** What the failure is about, as the caller wrote it: a path, a job's id, an option, an operation. */
  subject?: string | undefined;
  /** The subject, where it is a path. */
  path?: string | undefined;
  /** The subject, where it is a job's id. */
  job?: string | undefined;
  /** The origin that the policy refused. */
  origin?: string | undefined;
  /** Status of the HTTP answer. */
  status?: number | undefined;
  /** The server's own text. */
  serverMessage?: string | undefined;
  /** The server's id of the request, for the people who run the server. */
  requestId?: string | undefined;
  /** How long the server asks to wait before another try, in milliseconds. */
  retryAfter?: number | undefined;
  cause?: unknown;
}

/** Every rejection of this package. It holds no secret. */
export class FirecrestError extends Error implements ErrorDetails {
  override readonly name = 'FirecrestError';
  readonly kind: ErrorKind;
  declare readonly operation?: string;
  declare readonly subject?: string;
  declare readonly path?: string;
  declare readonly job?: string;
  declare readonly origin?: string;
  declare readonly status?: number;
  declare readonly serverMessage?: string;
  declare readonly requestId?: string;
  declare readonly retryAfter?: number;
  declare readonly cause?: unknown;

  constructor(message: string, details: ErrorDetails) {
    super(message);
    const { kind, ...rest } = details;
    this.kind = kind;
    for (const [name, value] of Object.entries(rest)) {
      if (value !== undefined) Object.defineProperty(this, name, { value, enumerable: name !== 'cause', configurable: true, writable: true });
    }
  }
}

/** An error of the caller's: nothing was sent. */
export function invalid(subject: string, reason: string): FirecrestError {
  return new FirecrestError(`${subject}: ${reason}`, { kind: 'invalid-argument', subject });
}
