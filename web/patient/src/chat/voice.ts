/** Sound as it is shown: loudness over time, and how long it is. */

export const BARS = 28;

/** The loudest of each of `bars` stretches, 0 to 1, where the loudest of all is 1. */
export function peaksOf(samples: Float32Array, bars: number = BARS): number[] {
  const size = Math.max(1, Math.floor(samples.length / bars));
  const peaks = Array.from({ length: bars }, (_, bar) => {
    let most = 0;
    for (let at = bar * size; at < Math.min(samples.length, (bar + 1) * size); at += 1) most = Math.max(most, Math.abs(samples[at] ?? 0));
    return most;
  });
  const loudest = Math.max(...peaks);
  return loudest === 0 ? peaks : peaks.map((peak) => peak / loudest);
}

/** 7″, 1′05″. */
export function clipLength(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  return whole < 60 ? `${whole}″` : `${Math.floor(whole / 60)}′${String(whole % 60).padStart(2, "0")}″`;
}

export interface Sound {
  seconds: number;
  peaks: readonly number[];
}

const known = new Map<string, Sound>();
const MOST_KNOWN = 200;
let context: OfflineAudioContext | null = null;

/** Decoded once for each clip. Rejects for what this browser cannot read. */
export async function soundOf(key: string, blob: Blob): Promise<Sound> {
  const before = known.get(key);
  if (before !== undefined) return before;
  context ??= new OfflineAudioContext(1, 1, 16_000);
  const decoded = await context.decodeAudioData(await blob.arrayBuffer());
  const sound = { seconds: decoded.duration, peaks: peaksOf(decoded.getChannelData(0)) };
  known.set(key, sound);
  for (const oldest of known.keys()) {
    if (known.size <= MOST_KNOWN) break;
    known.delete(oldest);
  }
  return sound;
}
