import { StkError } from '../../core/errors.ts';
import { FuseWriter, type FuseBody } from './wire.ts';

const MAJOR = 7;
/** Spoken here: Linux 5.4. A newer kernel speaks it too. */
const MINOR = 31;
/** The answer to INIT has its present length since then. */
const OLDEST_MINOR = 23;

const FLAG = {
  asyncRead: 1 << 0,
  exportSupport: 1 << 4,
  bigWrites: 1 << 5,
  parallelDirops: 1 << 18,
  maxPages: 1 << 22,
  /** There is a second word of flags. */
  extended: 1 << 30,
} as const;
/** Of the second word (bit 39 of both): the kernel can send again what nobody answered. */
const HAS_RESEND = 1 << 7;

/** Pages that one read may ask for where the kernel lets the server choose (7.28), and where it does not. */
const MAX_PAGES = 256;
const OLD_MAX_PAGES = 32;
/** Largest write that a kernel could send; a read-only mount gets none, and request buffers can stay small. */
const MAX_WRITE_BYTES = 4096;
const INIT_OUT_BYTES = 64;
const PAGE_BYTES = 4096;

/** What kernel and server agreed on. */
export interface FuseSession {
  readonly minor: number;
  readonly maxReadBytes: number;
  /** How far the kernel reads ahead of a sequential reader, at most. */
  readonly maxReadaheadBytes: number;
  /** Whether another server can take over from one that died: the kernel asks it what the other one left unanswered. */
  readonly canResend: boolean;
}

export interface Negotiation {
  readonly answer: Buffer;
  /** Absent where the kernel speaks a newer major and must ask again. */
  readonly session?: FuseSession;
}

/** Limits that the server wishes for. */
export interface FuseWishes {
  /** Reads ahead that the kernel may keep in flight. */
  readonly maxBackground: number;
  readonly maxReadaheadBytes: number;
}

/** Answers INIT: the lower minor wins, flags are those that both sides know (fuse.h, "Protocol changelog"). */
export function negotiate(body: FuseBody, wishes: FuseWishes): Negotiation {
  const [major, minor] = [body.u32(0), body.u32(4)];
  if (major < MAJOR || (major === MAJOR && minor < OLDEST_MINOR)) {
    throw new StkError('missing-capability', `the kernel speaks FUSE ${major}.${minor}, which is too old`, {
      hint: `a kernel of the 4.18 series or newer speaks ${MAJOR}.27`,
    });
  }
  if (major > MAJOR) return { answer: new FuseWriter(INIT_OUT_BYTES).u32(MAJOR).u32(MINOR).bytes };
  const wanted = FLAG.asyncRead | FLAG.exportSupport | FLAG.bigWrites | FLAG.parallelDirops | FLAG.maxPages;
  const flags = body.u32(12) & wanted;
  const pages = flags & FLAG.maxPages ? MAX_PAGES : OLD_MAX_PAGES;
  const session = {
    minor: Math.min(minor, MINOR),
    maxReadBytes: pages * PAGE_BYTES,
    maxReadaheadBytes: Math.max(body.u32(8), wishes.maxReadaheadBytes),
    canResend: (body.u32(12) & FLAG.extended) !== 0 && body.has(16) && (body.u32(16) & HAS_RESEND) !== 0,
  };
  const answer = new FuseWriter(INIT_OUT_BYTES)
    .u32(MAJOR)
    .u32(session.minor)
    .u32(session.maxReadaheadBytes)
    .u32(flags)
    .u16(wishes.maxBackground)
    .u16(Math.floor((wishes.maxBackground * 3) / 4))
    .u32(MAX_WRITE_BYTES)
    .u32(1)
    .u16(pages).bytes;
  return { answer, session };
}
