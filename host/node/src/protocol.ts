// What the threads say to each other. A session has two: one for the component, which blocks while a call runs, and one for its
// requests, shared by all sessions. Whoever sends something to the component's thread wakes it through a counter in shared memory.
import type { MessagePort } from 'node:worker_threads';
import type { Folder } from './policy.js';

/** Indexes into the shared memory of a session. */
export const WAKE = 0;
export const STOP = 1;
export const SHARED_BYTES = 8;

/** At most so much of a body or a stream is on its way between two threads. */
export const WINDOW = 1 << 20;

export type OptionValues = [string, string][];

/** How a component's thread begins. */
export interface GuestData {
  modules: Record<string, WebAssembly.Module>;
  shared: SharedArrayBuffer;
  /** To the requests' thread. */
  io: MessagePort;
  /** From the session, while a call runs: what streams carry. */
  host: MessagePort;
}

/** One call. */
export interface Call {
  id: number;
  target: 'configuration' | 'transport' | 'scheduler' | 'session' | 'open' | 'peer' | 'ready';
  name: string;
  args: unknown[];
  /** In place of what was granted before. */
  folders: Folder[];
  /** For `open`. */
  open?: { values: OptionValues; state?: Uint8Array | undefined; origins: string[]; learns: boolean; caFiles: string[] };
  progress: boolean;
}

/** A place in the arguments that the component's thread fills. */
export type Place = { place: 'stream-in'; id: number; size: number } | { place: 'stream-out'; id: number } | { place: 'peer'; id: number };

export interface ContractError {
  kind: string;
  message: string;
  subject?: string;
  httpStatus?: number;
  serverMessage?: string;
  requestId?: string;
  retryAfterMs?: bigint;
}

export type FromGuest =
  | { type: 'result'; id: number; value: unknown }
  | { type: 'refused'; id: number; error: ContractError; network?: string | undefined; origin?: string | undefined }
  | { type: 'local'; id: number; path: string; code?: string | undefined; message: string }
  | { type: 'fault'; id: number; kind: 'trapped' | 'memory'; detail: string }
  | { type: 'progress'; id: number; status: unknown }
  | { type: 'chunk'; stream: number; bytes: Uint8Array }
  | { type: 'credit'; stream: number; bytes: number }
  | { type: 'closed'; stream: number };

/** From the session to the component's thread, heard while a call runs. */
export type ToGuest =
  | { type: 'chunk'; stream: number; bytes: Uint8Array }
  | { type: 'end'; stream: number }
  | { type: 'failed'; stream: number; message: string }
  | { type: 'credit'; stream: number; bytes: number };

/** From the component's thread to the requests'. */
export type ToIo =
  | { type: 'request'; id: number; request: OutgoingRequest }
  | { type: 'write'; id: number; bytes: Uint8Array }
  | { type: 'finish'; id: number }
  /** Nobody waits for the answer any more. */
  | { type: 'abort'; id: number }
  /** The body will not be finished; the answer is still wanted if it has begun. */
  | { type: 'cut'; id: number }
  | { type: 'credit'; id: number; bytes: number };

export interface OutgoingRequest {
  method: string;
  tls: boolean;
  host: string;
  port: number;
  path: string;
  headers: [string, string][];
  connectMs: number;
  firstByteMs: number;
  betweenBytesMs: number;
  caFiles: string[];
}

export interface HttpFailure {
  tag: string;
  val?: unknown;
}

/** From the requests' thread to the component's. */
export type FromIo =
  | { type: 'wrote'; id: number; bytes: number }
  | { type: 'head'; id: number; status: number; headers: [string, string][] }
  | { type: 'data'; id: number; bytes: Uint8Array }
  | { type: 'end'; id: number }
  | { type: 'failed'; id: number; code: HttpFailure; text: string };

/** From a session to the requests' thread. */
export interface Attach {
  port: MessagePort;
  shared: SharedArrayBuffer;
}
