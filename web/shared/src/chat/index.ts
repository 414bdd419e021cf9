/** The building blocks of a conversation, for the apps that have one: `@yunzhen/shared/chat`. Not part of the first screen. */
import "./chat.css";

export { Bubble, Parts, PendingBubble } from "./Bubble";
export { Composer } from "./Composer";
export { Countdown } from "./Countdown";
export { type Draft, DraftHolder, MOST_PARTS, partsOf, useDraft } from "./draft";
export { Icon, type IconName } from "./icons";
export { ImageViewer } from "./ImageViewer";
export { MessageList, RECALL_MS } from "./MessageList";
export { playable, useHeldMedia } from "./media";
export { Picture } from "./Picture";
export { type Recorder, type Recording, useRecorder } from "./recorder";
export { type Row, mayRecall, rowsOf, textOf } from "./rows";
export { VoicePart, VoicePlayer } from "./Voice";
