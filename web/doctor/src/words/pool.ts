/** Orders that any doctor of the department may take. */
export const poolZh = {
  "pool.title": "科室极速咨询",
  "pool.take": "接诊",
  "pool.taken": "已由您接诊",
  "pool.images": "{count} 张图片",
  "pool.return.text": "这次极速咨询会回到科室，由其他医生接诊。请说明原因，患者会看到。",
  "error.order.taken": "已被其他医生接诊。",
  "error.order.doctor_unavailable": "您已停诊，请先打开接诊开关。",
  "error.order.daily_maximum": "您今天的接诊数已满。",
  "notice.quick_waiting.title": "科室有新的极速咨询",
  "notice.quick_waiting": "本科室有一位患者在等待接诊，先接先得。",
};

export const poolEn: typeof poolZh = {
  "pool.title": "Quick consults of the department",
  "pool.take": "Take",
  "pool.taken": "It is yours",
  "pool.images": "{count} pictures",
  "pool.return.text": "This quick consult goes back to the department, for another doctor. Please say why; the patient will read it.",
  "error.order.taken": "Another doctor has it.",
  "error.order.doctor_unavailable": "You take no orders now. Turn the switch on first.",
  "error.order.daily_maximum": "Your day is full.",
  "notice.quick_waiting.title": "Quick consult",
  "notice.quick_waiting": "A patient waits for the first free doctor of the department.",
};
