/** The microphone: one recording at a time, from 1 to 60 seconds. Where the browser has none, or the user says no, `problem` says so. */
import { useCallback, useEffect, useRef, useState } from "react";
import { loudness } from "./levels";

export const SHORTEST_MS = 1_000;
export const LONGEST_MS = 60_000;
const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const LEVELS = 32;

export interface Recording {
  blob: Blob;
  durationMs: number;
}

export type RecorderProblem = "denied" | "missing" | "short";

export interface Recorder {
  state: "idle" | "starting" | "recording";
  elapsedMs: number;
  /** The last loudnesses, from 0 to 1, newest last. */
  levels: readonly number[];
  problem: RecorderProblem | null;
  start: () => void;
  /** End it and keep it. */
  finish: () => void;
  /** End it and throw it away. */
  cancel: () => void;
}

interface Take {
  media: MediaRecorder;
  stream: MediaStream;
  sound: AudioContext;
  startedAt: number;
  timer: ReturnType<typeof setInterval>;
  keep: boolean;
}

export function useRecorder(onRecorded: (recording: Recording) => void): Recorder {
  const [state, setState] = useState<Recorder["state"]>("idle");
  const [elapsedMs, setElapsed] = useState(0);
  const [levels, setLevels] = useState<readonly number[]>([]);
  const [problem, setProblem] = useState<RecorderProblem | null>(null);
  const take = useRef<Take | null>(null);
  const wanted = useRef(false);
  const told = useRef(onRecorded);
  useEffect(() => {
    told.current = onRecorded;
  }, [onRecorded]);

  const end = useCallback((keep: boolean) => {
    wanted.current = false;
    const now = take.current;
    if (now === null || now.media.state === "inactive") return;
    now.keep = keep;
    clearInterval(now.timer);
    now.media.stop();
  }, []);

  const begin = useCallback(async () => {
    wanted.current = true;
    setProblem(null);
    if (typeof MediaRecorder === "undefined" || !("mediaDevices" in navigator)) {
      setProblem("missing");
      return;
    }
    setState("starting");
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
    } catch (error) {
      setState("idle");
      setProblem(error instanceof DOMException && error.name === "NotFoundError" ? "missing" : "denied");
      return;
    }
    if (!isWanted(wanted)) {
      for (const track of stream.getTracks()) track.stop();
      setState("idle");
      return;
    }
    const type = TYPES.find((each) => MediaRecorder.isTypeSupported(each));
    const media = new MediaRecorder(stream, { audioBitsPerSecond: 32_000, ...(type === undefined ? {} : { mimeType: type }) });
    const chunks: Blob[] = [];
    const sound = new AudioContext();
    const ear = sound.createAnalyser();
    sound.createMediaStreamSource(stream).connect(ear);
    const samples = new Float32Array(ear.fftSize);
    const startedAt = performance.now();
    const timer = setInterval(() => {
      ear.getFloatTimeDomainData(samples);
      setLevels((known) => [...known, loudness(samples)].slice(-LEVELS));
      setElapsed(performance.now() - startedAt);
      if (performance.now() - startedAt >= LONGEST_MS - 200) end(true);
    }, 150);
    const made: Take = { media, stream, sound, startedAt, timer, keep: false };
    take.current = made;
    media.ondataavailable = (event) => chunks.push(event.data);
    media.onstop = () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      void sound.close();
      const durationMs = performance.now() - startedAt;
      if (take.current === made) {
        take.current = null; // otherwise the next one has begun
        setState("idle");
        setElapsed(0);
        setLevels([]);
      }
      if (!made.keep) return;
      if (durationMs < SHORTEST_MS) setProblem("short");
      else told.current({ blob: new Blob(chunks, { type: media.mimeType.split(";")[0] ?? "" }), durationMs });
    };
    media.start();
    setState("recording");
  }, [end]);

  useEffect(() => () => end(false), [end]); // left the screen: nothing goes on listening
  return { state, elapsedMs, levels, problem, start: () => void begin(), finish: () => end(true), cancel: () => end(false) };
}

const isWanted = (wanted: { current: boolean }): boolean => wanted.current;
