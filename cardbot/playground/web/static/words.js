// What the page says, in English and Chinese.

const WORDS = {
  en: {
    skip: "Skip to the message box", playground: "playground", chats: "Chats", talk: "Chat", wire: "Wire",
    faults: "What goes wrong", faultsShort: "Faults", faultsWhy: "Whatever is switched on, each message still comes to its end.", log: "Messages", ready: "Ready-made questions",
    mention: "Mention somebody", speaker: "Speaking as", message: "Message", picture: "Send a picture",
    file: "Send a file", voice: "Send a voice message: what you type is what you say", send: "Send", timeline: "Answers",
    calls: "Calls", when: "Time", call: "Call", verdict: "Verdict", size: "Size", took: "Took", tabs: "Views",
    replaying: "This is a recording.", again: "Play again", twenty: "Twenty at once",
    quote: "Quote", quoting: "Quoting {name}", dontQuote: "Do not quote", members: "{n} members",
    direct: "direct chat with the robot", asPerson: "as {name}", robot: "robot",
    write: "Write to cardbot", writeGroup: "Write to {title}; @cardbot to ask the robot", speak: "What you say",
    speaking: "Voice message", recognise: "with DingTalk’s transcript", spoken: "Said",
    silent: "Without a transcript: the bot lets Dify listen.", aside: "Goes to the answer above.",
    unaddressed: "Without @cardbot the robot does not get this.", waits: "Nobody is connected; waits for the bot.",
    lost: "Lost: the bot did not come back.", hint: "Enter sends, Shift+Enter begins a line", hintGroup: "Enter sends, Shift+Enter begins a line, @ mentions",
    assumed: "Nobody can be mentioned in this; the playground takes it as sent to @cardbot.",
    pending: "Pending", writing: "Writing", done: "Done", doing: "Working", failed: "Failed", plain: "Plain reply",
    nCalls: "{n} calls", oneCall: "1 call", seconds: "{n} s", transcript: "Transcript",
    connected: "connected", connections: "{n} connections", disconnected: "bot not connected", offline: "page offline",
    scripted: "scripted Dify", real: "your Dify app", recording: "recording",
    light: "Light", dark: "Dark", auto: "Auto", themeLabel: "Colours: {name}", languageLabel: "切换到中文", other: "中文",
    perAnswer: "calls per answer", perSecond: "calls/s, busiest path", month: "calls left this month",
    objections: "objections", noObjections: "The platform has nothing to object to.", ofLimit: "of {n}",
    legendDify: "Dify’s text", legendFrame: "card call", legendRefused: "refused",
    empty: "Ask something, here or with one of the questions below.",
    emptyGroup: "Mention @cardbot to ask it. Any member can speak.",
    emptyWire: "Every call the bot makes appears here.", emptyLines: "One line for each question.",
    dingtalk: "DingTalk", dify: "Dify", stream: "Connection",
    throttle: "Throttled", throttleHint: "Two of three card calls are refused (QpsLimit).",
    quota: "Quota used up", quotaHint: "No calls are left this month: a card amid its text stays open. Once off, plain replies go on until the playground is started again.",
    refused: "Card refused", refusedHint: "No card can be created: the template is not published.",
    token: "Revoke the token", tokenHint: "Access tokens handed out so far are invalid.",
    error: "Error", errorHint: "The model fails two seconds into each answer.",
    cut: "Cut", cutHint: "The connection ends two seconds into each answer.",
    silence: "Silence", silenceHint: "Nothing more comes after two seconds; the bot gives up after {idle} s.",
    redelivery: "Redelivery", redeliveryHint: "Each message is pushed twice.",
    dropped: "Drop the websocket", droppedHint: "Ends the connection without a word.",
    zombie: "Zombie", zombieHint: "The connection stays open and is dead; the bot notices after 75 s.",
    latency: "Latency of a call", limit: "Calls/s and path", ms: "{n} ms", perS: "{n}/s",
    waiting: "under way", asking: "waits for a person", noEnd: "no end", byReply: "plain reply", by: "{outcome}, {calls}, {time}",
    lineLabel: "{name}: {text}. {outcome}", nothing: "–", sendFailed: "Not done: {reason}",
    acknowledged: "acknowledged", pushed: "pushed", unheard: "nobody listens",
  },
  zh: {
    skip: "跳到输入框", playground: "演练场", chats: "会话", talk: "聊天", wire: "线路",
    faults: "制造故障", faultsShort: "故障", faultsWhy: "无论打开哪一项，每条消息都会有结局。", log: "消息", ready: "现成的问题",
    mention: "提及某人", speaker: "发言人", message: "消息", picture: "发送图片",
    file: "发送文件", voice: "发送语音：输入的文字就是说的话", send: "发送", timeline: "回答",
    calls: "调用", when: "时间", call: "调用", verdict: "结果", size: "大小", took: "耗时", tabs: "视图",
    replaying: "这是一段录像。", again: "重新播放", twenty: "二十人同时问",
    quote: "引用", quoting: "引用 {name}", dontQuote: "取消引用", members: "{n} 位成员",
    direct: "与机器人的单聊", asPerson: "身份：{name}", robot: "机器人",
    write: "发消息给 cardbot", writeGroup: "发消息到{title}，@cardbot 向机器人提问", speak: "说的话",
    speaking: "语音消息", recognise: "附带钉钉的转写", spoken: "说的是",
    silent: "没有转写：机器人请 Dify 听。", aside: "这条发给上面的回答。",
    unaddressed: "没有 @cardbot，机器人收不到这条消息。", waits: "机器人未连接，等待中。",
    lost: "已丢失：机器人没有回来。", hint: "Enter 发送，Shift+Enter 换行", hintGroup: "Enter 发送，Shift+Enter 换行，@ 提及",
    assumed: "这类消息无法 @ 任何人，演练场视为已 @cardbot。",
    pending: "处理中", writing: "输出中", done: "完成", doing: "执行中", failed: "失败", plain: "普通回复",
    nCalls: "{n} 次调用", oneCall: "1 次调用", seconds: "{n} 秒", transcript: "转写",
    connected: "已连接", connections: "{n} 个连接", disconnected: "机器人未连接", offline: "页面已断线",
    scripted: "模拟的 Dify", real: "你的 Dify 应用", recording: "录像",
    light: "浅色", dark: "深色", auto: "自动", themeLabel: "配色：{name}", languageLabel: "Switch to English", other: "English",
    perAnswer: "每次回答的调用", perSecond: "每秒调用（最忙的路径）", month: "本月剩余调用",
    objections: "平台异议", noObjections: "平台没有任何异议。", ofLimit: "上限 {n}",
    legendDify: "Dify 的文字", legendFrame: "卡片调用", legendRefused: "被拒绝",
    empty: "问点什么，或者用下面现成的问题。",
    emptyGroup: "用 @cardbot 提问，任何成员都可以发言。",
    emptyWire: "机器人的每次调用都显示在这里。", emptyLines: "每个问题一行。",
    dingtalk: "钉钉", dify: "Dify", stream: "连接",
    throttle: "限流", throttleHint: "三次卡片调用中有两次被拒绝（QpsLimit）。",
    quota: "额度用尽", quotaHint: "本月调用次数已用完，写到一半的卡片无法结束。关闭后仍是普通回复，直到重新启动演练场。",
    refused: "拒绝卡片", refusedHint: "无法创建卡片：模板没有发布。",
    token: "吊销令牌", tokenHint: "已经发出的访问令牌全部失效。",
    error: "出错", errorHint: "每次回答两秒后模型出错。",
    cut: "断开", cutHint: "每次回答两秒后连接断开。",
    silence: "沉默", silenceHint: "两秒后再无内容；机器人在 {idle} 秒后放弃。",
    redelivery: "重复推送", redeliveryHint: "每条消息推送两次。",
    dropped: "断开 WebSocket", droppedHint: "连接突然中断。",
    zombie: "假死连接", zombieHint: "连接开着但已失效；机器人 75 秒后发现。",
    latency: "每次调用的延迟", limit: "每路径每秒调用", ms: "{n} 毫秒", perS: "{n} 次/秒",
    waiting: "进行中", asking: "等待处理", noEnd: "没有结局", byReply: "普通回复", by: "{outcome}，{calls}，{time}",
    lineLabel: "{name}：{text}。{outcome}", nothing: "–", sendFailed: "没有完成：{reason}",
    acknowledged: "已确认", pushed: "已推送", unheard: "无人接收",
  },
};

let language = "en";
const listeners = new Set();

/** The sentence of this name, with its {places} filled. */
export function t(name, places = {}) {
  const words = WORDS[language][name] ?? WORDS.en[name] ?? name;
  return words.replace(/\{(\w+)\}/g, (_, place) => places[place] ?? "");
}

export const speaks = () => language;

/** Calls `listener` now, and whenever the language changes. */
export function onLanguage(listener) {
  listeners.add(listener);
  listener();
}

export function speak(name) {
  language = name in WORDS ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const listener of listeners) listener();
}

/** Texts and labels that the page itself declares. */
export function fill(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of root.querySelectorAll("[data-hint]")) {
    element.title = t(element.dataset.hint);
    element.setAttribute("aria-label", element.title);
  }
}
