/** Loudness as bars, for a recording that is made or played. Pure. */

/** Loudness of a stretch of samples (-1 to 1), from 0 to 1: root mean square, raised so that speech fills the height. */
export function loudness(samples: Float32Array): number {
  if (samples.length === 0) return 0;
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.min(1, Math.sqrt(sum / samples.length) * 3);
}

/** So many bars from 0 to 1 of all samples; the loudest is 1, silence is flat. */
export function bars(samples: Float32Array, count: number): number[] {
  const size = Math.max(1, Math.floor(samples.length / count));
  const levels = Array.from({ length: count }, (_, index) => loudness(samples.subarray(index * size, (index + 1) * size)));
  const top = Math.max(...levels);
  return top === 0 ? levels : levels.map((level) => level / top);
}

/** 0:07, 1:00. */
export function clock(ms: number): string {
  const seconds = Math.round(Math.max(0, ms) / 1000);
  return `${String(Math.floor(seconds / 60))}:${String(seconds % 60).padStart(2, "0")}`;
}
