/** Finding messages by their words. */
export const searchZh = {
  "search.open": "搜索对话",
  "search.close": "返回列表",
  "search.short": "搜索",
  "search.here": "在本次对话中搜索",
  "search.words": "输入要找的词",
  "search.go": "搜索",
  "search.title": "搜索对话",
  "search.hint": "在您能查看的全部对话中查找，至少两个字更准",
  "search.hint.here": "查找本次对话中说过的话",
  "search.none": "没有找到",
  "search.none.hint": "换一个词试试；已撤回的消息不会出现",
  "search.found": "找到 {count} 条",
};

export const searchEn: typeof searchZh = {
  "search.open": "Search messages",
  "search.close": "Back to the lists",
  "search.short": "Search",
  "search.here": "Search this conversation",
  "search.words": "Words to look for",
  "search.go": "Search",
  "search.title": "Search messages",
  "search.hint": "Looks through every conversation that you may read",
  "search.hint.here": "Looks through what was said in this consult",
  "search.none": "Nothing found",
  "search.none.hint": "Try another word. Messages that were taken back do not appear.",
  "search.found": "{count} found",
};
