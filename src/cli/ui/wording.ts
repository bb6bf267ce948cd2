import { formatBytes, formatDuration } from '../../core/bytes.ts';
import type { StkEvent, TaskKind, TaskOutcome } from '../../core/events.ts';
import { printableLine } from './printable-line.ts';

export type ImageFinished = Extract<StkEvent, { type: 'image-finished' }>;
export type TaskFinished = Extract<StkEvent, { type: 'task-finished' }>;

/** `pack imports /opt`; what the label repeats of kind and group is left out. */
export function taskTitle(task: { readonly kind: TaskKind; readonly group: string; readonly label: string }): string {
  const { kind, group, label } = task;
  const own = label === group ? '' : label.startsWith(`${group} `) ? label.slice(group.length + 1) : label;
  return own === kind || own === '' ? kind : `${kind} ${printableLine(own)}`;
}

/** `12.3 MB of 57.3 MB (21%)`; without a total only what is done. */
export function progressText(doneBytes: number, totalBytes: number | undefined): string {
  if (totalBytes === undefined || totalBytes <= 0) return formatBytes(doneBytes);
  const percent = Math.floor((Math.min(doneBytes, totalBytes) / totalBytes) * 100);
  return `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)} (${percent}%)`;
}

const OUTCOME_WORDS: Readonly<Record<TaskOutcome, string>> = {
  done: 'done',
  cached: 'cached',
  failed: 'failed',
  canceled: 'canceled',
};

/** `done in 3.2s, 57.3 MB`, `failed after 0.4s`. */
export function taskEnd(task: TaskFinished, doneBytes?: number): string {
  const { outcome } = task;
  const size = doneBytes === undefined || doneBytes === 0 ? undefined : formatBytes(doneBytes);
  const detail = task.detail === undefined ? size : printableLine(task.detail);
  const joint = outcome === 'done' || outcome === 'cached' ? 'in' : 'after';
  const text = `${OUTCOME_WORDS[outcome]} ${joint} ${formatDuration(task.durationMs)}`;
  return detail === undefined || outcome === 'failed' || outcome === 'canceled' ? text : `${text}, ${detail}`;
}

/** `built, 3 layers, 57.3 MB, in 12.3s`, or how else the image ended; tags other than the image's name are listed. */
export function imageEnd(image: ImageFinished): string {
  const duration = formatDuration(image.durationMs);
  if (image.outcome === 'failed' || image.outcome === 'canceled') return `${image.outcome} after ${duration}`;
  const tags = image.tags.filter(tag => tag !== image.image);
  const parts = [
    image.outcome === 'cached' ? 'cached' : 'built',
    `${image.layers} ${image.layers === 1 ? 'layer' : 'layers'}`,
    formatBytes(image.sizeBytes),
    ...(tags.length > 0 ? [`tagged ${tags.map(printableLine).join(' ')}`] : []),
    ...(image.digest === undefined ? [] : [image.digest.slice(0, 19)]),
  ];
  return `${parts.join(', ')}, in ${duration}`;
}
