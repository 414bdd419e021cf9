/** The microphone, from press to clip. */

export const SHORTEST_MS = 1_000;
export const LONGEST_MS = 60_000;

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];

export const canRecord = (): boolean => typeof MediaRecorder !== "undefined" && "mediaDevices" in navigator;

export class Recording {
  private readonly chunks: Blob[] = [];
  private readonly begun = performance.now();
  private readonly analyser: AnalyserNode;
  private readonly levels: Float32Array<ArrayBuffer>;

  private constructor(
    private readonly stream: MediaStream,
    private readonly recorder: MediaRecorder,
    private readonly context: AudioContext,
  ) {
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 512;
    this.levels = new Float32Array(this.analyser.fftSize);
    context.createMediaStreamSource(stream).connect(this.analyser);
    recorder.ondataavailable = ({ data }) => void this.chunks.push(data);
    recorder.start(250);
  }

  /** Asks for the microphone. Rejects where it is not given. */
  static async start(): Promise<Recording> {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, channelCount: 1 } });
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const recorder = new MediaRecorder(stream, { audioBitsPerSecond: 32_000, ...(mimeType === undefined ? {} : { mimeType }) });
    return new Recording(stream, recorder, new AudioContext());
  }

  get elapsedMs(): number {
    return performance.now() - this.begun;
  }

  /** How loud it is now, 0 to 1. */
  level(): number {
    this.analyser.getFloatTimeDomainData(this.levels);
    return Math.min(1, Math.max(...this.levels.map(Math.abs)) * 2.5);
  }

  /** The clip, or null where it was too short to be one. */
  async finish(): Promise<Blob | null> {
    const long = this.elapsedMs >= SHORTEST_MS;
    const ended = new Promise((done) => this.recorder.addEventListener("stop", done, { once: true }));
    if (this.recorder.state !== "inactive") this.recorder.stop();
    await ended;
    this.letGo();
    return long ? new Blob(this.chunks, { type: this.recorder.mimeType.split(";")[0] ?? "audio/webm" }) : null;
  }

  cancel(): void {
    if (this.recorder.state !== "inactive") this.recorder.stop();
    this.letGo();
  }

  private letGo(): void {
    for (const track of this.stream.getTracks()) track.stop();
    void this.context.close();
  }
}
