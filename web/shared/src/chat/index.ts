/** The conversation, for the apps that have one: `@yunzhen/shared/chat`. Not part of the first screen; `chat/queue` is. */
import "./chat.css";

export { Bubble, Parts, PendingBubble } from "./Bubble";
export { mediaCacheOf, playable } from "./cache";
export { type CardAction, type CardPart, CardView } from "./Card";
export { Composer, PICTURE_TYPES } from "./Composer";
export { Countdown } from "./Countdown";
export { type Draft, DraftHolder, MOST_PARTS, piecesOf, useDraft } from "./draft";
export { Icon, type IconName } from "./icons";
export { ImageViewer } from "./ImageViewer";
export { MessageList, RECALL_MS } from "./MessageList";
export { useHeldMedia } from "./media";
export { Picture } from "./Picture";
export { type Piece, type Waiting, useSend, useWaiting } from "./queue";
export { type Recorder, type Recording, useRecorder } from "./recorder";
export { type Row, mayRecall, rowsOf, textOf } from "./rows";
export { type Uploaded, lightened, upload } from "./upload";
export { VoicePart, VoicePlayer } from "./Voice";
