/**
 * Files and jobs on supercomputers through FirecREST, from Node: a WebAssembly component in a worker of its own.
 *
 * @module
 */
export { FirecrestError, type ErrorDetails, type ErrorKind } from './errors.js';
export { Options, type OptionsLike } from './options.js';
export type { Folder } from './policy.js';
export { Session, check, describe, describeOptions, script, type OpenOptions, type Peer, type Policy } from './session.js';
export type * from './types.js';
