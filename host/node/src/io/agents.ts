// Connections, kept alive and shared by all sessions that trust the same certificates.
import * as dns from 'node:dns';
import * as http from 'node:http';
import * as https from 'node:https';
import { existsSync, readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import type { LookupFunction } from 'node:net';
import { isLocal, isLocalAddress } from '../policy.js';

/** Below the 60 to 75 s after which proxies usually close. */
const IDLE_MS = 55_000;

/** Where systems keep the certificates that their administrators trust. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

const plain = new http.Agent({ keepAlive: true, timeout: IDLE_MS });
const secure = new Map<string, https.Agent>();

export function agentFor(tls: boolean, caFiles: string[]): { agent: http.Agent; lookup: LookupFunction } {
  return { agent: tls ? secureAgent(caFiles) : plain, lookup };
}

/** Node's own roots, those of the system (computing centres install theirs there), and the files that the session gives. */
function secureAgent(caFiles: string[]): https.Agent {
  const key = JSON.stringify(caFiles);
  const known = secure.get(key);
  if (known) return known;
  const system = process.env['SSL_CERT_FILE'] ?? SYSTEM_BUNDLES.find((path) => existsSync(path));
  const files = system === undefined ? caFiles : [system, ...caFiles];
  const ca = [...rootCertificates, ...files.map((path) => readFileSync(path, 'utf8'))];
  const agent = new https.Agent({ keepAlive: true, timeout: IDLE_MS, ca });
  secure.set(key, agent);
  return agent;
}

export class ProhibitedAddress extends Error {
  constructor(hostname: string) {
    super(`${hostname} leads to this machine or its link`);
  }
}

/** Whoever controls a name must not reach what listens on this machine or its link; a literal address never comes here. */
const lookup: LookupFunction = (hostname, options, done) => {
  dns.lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return done(error, []);
    const allowed = isLocal(hostname) ? addresses : addresses.filter(({ address }) => !isLocalAddress(address));
    const first = allowed[0];
    if (!first) return done(new ProhibitedAddress(hostname), []);
    if (options.all) return done(null, allowed);
    return done(null, first.address, first.family);
  });
};
