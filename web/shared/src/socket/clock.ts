/** The server's time, whatever the device's clock says: an offset from a clock that only ever runs on. */

export class ServerClock {
  private offset: number | null = null;
  private uncertainty = Infinity;

  /** `steady` never jumps (performance.now); `wall` is what the device believes, used until the server has spoken. */
  constructor(
    readonly steady: () => number = () => performance.now(),
    private readonly wall: () => number = () => Date.now(),
  ) {}

  /** An answer said `at` (ms) somewhere between `askedAt` and now, both by `steady`. `grain`: how coarse it was said.
   * The narrowest window wins. */
  learn(at: number, askedAt: number, grain = 0): void {
    const half = (this.steady() - askedAt) / 2;
    if (Number.isNaN(at) || half + grain > this.uncertainty) return;
    this.uncertainty = half + grain;
    this.offset = at - (askedAt + half);
  }

  /** A device that slept has a steady clock that may have stood still: forget, so that the next answer counts. */
  forget(): void {
    this.uncertainty = Infinity;
  }

  readonly now = (): number => (this.offset === null ? this.wall() : this.steady() + this.offset);

  /** Milliseconds until an instant of the server's (RFC 3339); never negative. */
  readonly until = (instant: string): number => Math.max(0, Date.parse(instant) - this.now());
}
