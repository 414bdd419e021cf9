/** What apps use of the shared part. */
export { Api, type AnswerOf, type Models, RequestKey, newKey } from "./api/client";
export { ApiError } from "./api/errors";
export type { Account, SessionState } from "./api/session";
export * as format from "./format";
export { type Language, type SharedKey, extend } from "./i18n";
export {
  useApi, useConnected, useConversation, useExplain, useMedia, useOnline, usePreferences, useRealtime, useRemaining, useRuntime,
  useSession, useTranslate,
} from "./react/context";
export { Runtime } from "./react/runtime";
export { type Log, type Message, readByOthers } from "./socket/conversation";
export type { OutboxItem, Part } from "./socket/outbox";
export type { Conversation, Realtime } from "./socket/realtime";
export type { Events } from "./socket/schema";
export { DARK, LIGHT } from "./theme/tokens";
export { Field } from "./ui/Field";
export { Mark } from "./ui/Mark";
export { CodeButton } from "./ui/LoginScreen";
export { PreferenceTools } from "./ui/PreferenceTools";
export { Shell } from "./ui/Shell";
export { Empty, ErrorBoundary, Failure, Loaded, Loading } from "./ui/states";
