// From Node's errors to the codes of wasi:http, by which the component decides whether the server can have seen the request.
import type { HttpFailure } from '../protocol.js';
import { ProhibitedAddress } from './agents.js';

export function failureOf(error: unknown): { code: HttpFailure; text: string } {
  const first = cause(error);
  return { code: codeOf(first), text: first.message };
}

/** Node tries each of a name's addresses, and says all that went wrong. */
function cause(error: unknown): NodeJS.ErrnoException {
  if (error instanceof AggregateError && error.errors.length > 0) return cause(error.errors[0]);
  return error instanceof Error ? error : new Error(String(error));
}

const CODES: Record<string, HttpFailure> = {
  ECONNREFUSED: { tag: 'connection-refused' },
  ETIMEDOUT: { tag: 'connection-timeout' },
  EHOSTUNREACH: { tag: 'destination-unavailable' },
  ENETUNREACH: { tag: 'destination-IP-unroutable' },
  EADDRNOTAVAIL: { tag: 'destination-IP-unroutable' },
  EMFILE: { tag: 'connection-limit-reached' },
  ENFILE: { tag: 'connection-limit-reached' },
  ECONNRESET: { tag: 'connection-terminated' },
  EPIPE: { tag: 'connection-terminated' },
  EPROTO: { tag: 'TLS-protocol-error' },
  HPE_HEADER_OVERFLOW: { tag: 'HTTP-response-header-section-size', val: undefined },
};

const CERTIFICATE = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/;

function codeOf(error: NodeJS.ErrnoException): HttpFailure {
  const code = error.code ?? '';
  if (error instanceof ProhibitedAddress) return { tag: 'destination-IP-prohibited' };
  if (error.syscall === 'getaddrinfo') return { tag: 'DNS-error', val: { rcode: code, infoCode: undefined } };
  if (CERTIFICATE.test(code)) return { tag: 'TLS-certificate-error' };
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) return { tag: 'TLS-protocol-error' };
  const known = CODES[code];
  if (known) return known;
  if (code.startsWith('HPE_')) return { tag: 'HTTP-protocol-error' };
  if (code.startsWith('ERR_INVALID') || code.startsWith('ERR_UNESCAPED')) return { tag: 'HTTP-request-URI-invalid' };
  return { tag: 'internal-error', val: error.message };
}
