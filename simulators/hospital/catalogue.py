"""The laboratory: tests with LOINC codes, UCUM units, reference ranges of adults (and by sex), critical limits, and the
panels that they are ordered in. Ranges follow the Chinese health-industry standards WS/T 404 and 405 where those have one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Test:
    """`low` and `high` bound the reference range (None: open); `panic_low` and `panic_high` are critical. `spread` is how far a
    healthy person's results scatter, as a share of the middle."""

    key: str
    loinc: str
    name: str
    unit: str
    digits: int
    low: float | None
    high: float | None
    female: tuple[float | None, float | None] | None = None
    panic_low: float | None = None
    panic_high: float | None = None
    spread: float = 0.06
    usual: float | None = None

    def range_for(self, *, male: bool) -> tuple[float | None, float | None]:
        return (self.low, self.high) if male or self.female is None else self.female

    def healthy(self, *, male: bool) -> float:
        low, high = self.range_for(male=male)
        if self.usual is not None:
            return self.usual
        if low is None:
            return (high or 1.0) * 0.55
        if high is None:
            return low * 1.3
        return low + (high - low) * 0.48


@dataclass(frozen=True, slots=True)
class Words:
    """A test whose result is a word. `usual` is the normal one."""

    key: str
    loinc: str
    name: str
    usual: str
    reference: str


T = Test
_TESTS: Final = (
    # 血常规
    T("WBC", "6690-2", "白细胞计数", "10*9/L", 2, 3.5, 9.5, panic_low=1.5, panic_high=30.0, spread=0.12),
    T("NEUTP", "770-8", "中性粒细胞百分比", "%", 1, 40, 75, spread=0.08),
    T("LYMP", "736-9", "淋巴细胞百分比", "%", 1, 20, 50, spread=0.1),
    T("MONOP", "5905-5", "单核细胞百分比", "%", 1, 3, 10, spread=0.15),
    T("EOSP", "713-8", "嗜酸性粒细胞百分比", "%", 1, 0.4, 8.0, usual=2.2, spread=0.2),
    T("BASOP", "706-2", "嗜碱性粒细胞百分比", "%", 1, 0, 1, usual=0.4, spread=0.2),
    T("NEUT", "751-8", "中性粒细胞绝对值", "10*9/L", 2, 1.8, 6.3, panic_low=0.5),
    T("LYM", "731-0", "淋巴细胞绝对值", "10*9/L", 2, 1.1, 3.2),
    T("MONO", "742-7", "单核细胞绝对值", "10*9/L", 2, 0.1, 0.6),
    T("EOS", "711-2", "嗜酸性粒细胞绝对值", "10*9/L", 2, 0.02, 0.52),
    T("BASO", "704-7", "嗜碱性粒细胞绝对值", "10*9/L", 2, 0, 0.06),
    T("RBC", "789-8", "红细胞计数", "10*12/L", 2, 4.3, 5.8, (3.8, 5.1), spread=0.03),
    T("HGB", "718-7", "血红蛋白", "g/L", 0, 130, 175, (115, 150), panic_low=60, panic_high=200, spread=0.03),
    T("HCT", "4544-3", "红细胞比容", "L/L", 3, 0.40, 0.50, (0.35, 0.45)),
    T("MCV", "787-2", "平均红细胞体积", "fL", 1, 82, 100, spread=0.015),
    T("MCH", "785-6", "平均红细胞血红蛋白量", "pg", 1, 27, 34),
    T("MCHC", "786-4", "平均红细胞血红蛋白浓度", "g/L", 0, 316, 354, spread=0.012),
    T("RDWCV", "788-0", "红细胞分布宽度-CV", "%", 1, 11.5, 14.5, spread=0.03),
    T("RDWSD", "21000-5", "红细胞分布宽度-SD", "fL", 1, 37, 50, spread=0.03),
    T("PLT", "777-3", "血小板计数", "10*9/L", 0, 125, 350, panic_low=30, panic_high=1000, spread=0.1),
    T("MPV", "32623-1", "平均血小板体积", "fL", 1, 7.4, 12.5, spread=0.05),
    T("PDW", "32207-3", "血小板分布宽度", "fL", 1, 9.0, 17.0, spread=0.05),
    T("PCTB", "51637-7", "血小板压积", "%", 2, 0.11, 0.28, spread=0.08),
    T("HSCRP", "30522-7", "超敏C反应蛋白", "mg/L", 2, None, 5.0, usual=1.1, spread=0.3),
    # 生化
    T("ALT", "1742-6", "丙氨酸氨基转移酶", "U/L", 0, 9, 50, (7, 40), spread=0.15, panic_high=1000, usual=21),
    T("AST", "1920-8", "天门冬氨酸氨基转移酶", "U/L", 0, 15, 40, (13, 35), spread=0.12, usual=22),
    T("ASTALT", "1916-6", "AST/ALT", "{ratio}", 2, 0.8, 1.5),
    T("TBIL", "14631-6", "总胆红素", "umol/L", 1, None, 23.0, usual=11.5, spread=0.15),
    T("DBIL", "14629-0", "直接胆红素", "umol/L", 1, None, 8.0, usual=3.4, spread=0.15),
    T("IBIL", "14630-8", "间接胆红素", "umol/L", 1, None, 18.0),
    T("TP", "2885-2", "总蛋白", "g/L", 1, 65, 85, spread=0.03),
    T("ALB", "1751-7", "白蛋白", "g/L", 1, 40, 55, spread=0.025),
    T("GLB", "10834-0", "球蛋白", "g/L", 1, 20, 40),
    T("AG", "1759-0", "白蛋白/球蛋白", "{ratio}", 2, 1.2, 2.4),
    T("ALP", "6768-6", "碱性磷酸酶", "U/L", 0, 45, 125, (50, 135), spread=0.08),
    T("GGT", "2324-2", "γ-谷氨酰基转移酶", "U/L", 0, 10, 60, (7, 45), usual=24, spread=0.15),
    T("TBA", "14628-2", "总胆汁酸", "umol/L", 1, None, 10.0, usual=3.6, spread=0.25),
    T("PA", "14338-8", "前白蛋白", "mg/L", 0, 200, 430, spread=0.06),
    T("CHE", "2098-2", "胆碱酯酶", "U/L", 0, 5000, 12000, spread=0.05),
    T("UREA", "22664-7", "尿素", "mmol/L", 2, 3.1, 8.0, (2.6, 7.5), panic_high=36, spread=0.1),
    T("CREA", "14682-9", "肌酐", "umol/L", 0, 57, 97, (41, 73), panic_high=650, spread=0.05),
    T("UA", "14933-6", "尿酸", "umol/L", 0, 208, 428, (155, 357), spread=0.06),
    T("CYSC", "33863-2", "胱抑素C", "mg/L", 2, 0.51, 1.09, spread=0.05),
    T("EGFR", "62238-1", "估算肾小球滤过率", "mL/min/{1.73_m2}", 1, 90, None),
    T("GLU", "14771-0", "空腹血糖", "mmol/L", 2, 3.9, 6.1, panic_low=2.8, panic_high=22.2, spread=0.05),
    T("K", "2823-3", "钾", "mmol/L", 2, 3.5, 5.3, panic_low=2.8, panic_high=6.2, spread=0.04),
    T("NA", "2951-2", "钠", "mmol/L", 1, 137, 147, panic_low=120, panic_high=160, spread=0.008),
    T("CL", "2075-0", "氯", "mmol/L", 1, 99, 110, spread=0.012),
    T("CA", "2000-8", "钙", "mmol/L", 2, 2.11, 2.52, panic_low=1.6, panic_high=3.5, spread=0.02),
    T("P", "14879-1", "磷", "mmol/L", 2, 0.85, 1.51, spread=0.06),
    T("MG", "2601-3", "镁", "mmol/L", 2, 0.75, 1.02, spread=0.03),
    T("CO2", "2028-9", "二氧化碳结合力", "mmol/L", 1, 22, 29, panic_low=10, panic_high=40, spread=0.04),
    T("TC", "14647-2", "总胆固醇", "mmol/L", 2, None, 5.18, usual=4.4, spread=0.05),
    T("TG", "14927-8", "甘油三酯", "mmol/L", 2, None, 1.70, usual=1.15, spread=0.12),
    T("HDL", "14646-4", "高密度脂蛋白胆固醇", "mmol/L", 2, 1.04, None, usual=1.38, spread=0.05),
    T("LDL", "22748-8", "低密度脂蛋白胆固醇", "mmol/L", 2, None, 3.37),
    T("APOA", "55725-6", "载脂蛋白A1", "g/L", 2, 1.20, 1.80, spread=0.05),
    T("APOB", "55726-4", "载脂蛋白B", "g/L", 2, 0.55, 1.20, spread=0.06),
    T("LPA", "10835-7", "脂蛋白(a)", "mg/L", 0, None, 300, usual=120, spread=0.08),
    T("CK", "2157-6", "肌酸激酶", "U/L", 0, 50, 310, (40, 200), usual=96, spread=0.15),
    T("CKMB", "32673-6", "肌酸激酶同工酶", "U/L", 0, None, 25, usual=12, spread=0.12),
    T("LDH", "14804-9", "乳酸脱氢酶", "U/L", 0, 120, 250, spread=0.06),
    T("HBDH", "2278-0", "α-羟丁酸脱氢酶", "U/L", 0, 72, 182, spread=0.07),
    T("HCY", "13965-9", "同型半胱氨酸", "umol/L", 1, None, 15.0, usual=10.2, spread=0.1),
    # 糖代谢、肾、甲状腺、贫血、凝血、感染、肝炎
    T("HBA1C", "4548-4", "糖化血红蛋白", "%", 1, 4.0, 6.0, spread=0.02),
    T("INS", "20448-7", "空腹胰岛素", "m[IU]/L", 2, 2.6, 24.9, usual=9.1, spread=0.12),
    T("CPEP", "1986-9", "空腹C肽", "ug/L", 2, 1.1, 4.4, usual=2.3, spread=0.1),
    T("MALB", "14957-5", "尿微量白蛋白", "mg/L", 1, None, 20.0, usual=7.5, spread=0.2),
    T("UCREA", "14683-7", "尿肌酐", "mmol/L", 2, 2.5, 20.0, usual=8.8, spread=0.12),
    T("ACR", "9318-7", "尿白蛋白/肌酐比值", "mg/g", 1, None, 30.0),
    T("TSH", "11580-8", "促甲状腺激素", "m[IU]/L", 3, 0.27, 4.2, usual=1.9, spread=0.15, panic_high=100),
    T("FT3", "14928-6", "游离三碘甲状腺原氨酸", "pmol/L", 2, 3.1, 6.8, spread=0.05),
    T("FT4", "14920-3", "游离甲状腺素", "pmol/L", 2, 12.0, 22.0, spread=0.05),
    T("TT3", "14930-2", "三碘甲状腺原氨酸", "nmol/L", 2, 1.3, 3.1, spread=0.05),
    T("TT4", "14921-1", "甲状腺素", "nmol/L", 1, 66, 181, spread=0.05),
    T("TPOAB", "8099-4", "甲状腺过氧化物酶抗体", "k[IU]/L", 1, None, 34.0, usual=11, spread=0.2),
    T("TGAB", "8098-6", "甲状腺球蛋白抗体", "k[IU]/L", 1, None, 115.0, usual=18, spread=0.2),
    T("FER", "2276-4", "铁蛋白", "ug/L", 1, 30, 400, (13, 150), spread=0.06),
    T("FE", "14798-3", "血清铁", "umol/L", 1, 10.6, 36.7, (7.8, 32.2), spread=0.08),
    T("TIBC", "14800-7", "总铁结合力", "umol/L", 1, 50, 77, (54, 77), spread=0.03),
    T("TSAT", "2502-3", "转铁蛋白饱和度", "%", 1, 20, 50),
    T("FOL", "14732-2", "叶酸", "nmol/L", 1, 8.8, 45.3, usual=22, spread=0.08),
    T("B12", "14685-2", "维生素B12", "pmol/L", 0, 133, 675, usual=330, spread=0.07),
    T("PT", "5902-2", "凝血酶原时间", "s", 1, 9.0, 13.0, panic_high=30, spread=0.03),
    T("INR", "6301-6", "国际标准化比值", "{INR}", 2, 0.8, 1.2, panic_high=5, spread=0.03),
    T("APTT", "3173-2", "活化部分凝血活酶时间", "s", 1, 25, 31.3, panic_high=70, spread=0.03),
    T("FIB", "3255-7", "纤维蛋白原", "g/L", 2, 2.0, 4.0, panic_low=1.0, spread=0.06),
    T("TT", "3243-3", "凝血酶时间", "s", 1, 14.0, 21.0, spread=0.03),
    T("DD", "48058-2", "D-二聚体", "mg/L", 2, None, 0.55, usual=0.21, spread=0.2),
    T("PCT", "33959-8", "降钙素原", "ug/L", 2, None, 0.05, usual=0.03, spread=0.1),
    T("ESR", "30341-2", "红细胞沉降率", "mm/h", 0, None, 15, (None, 20), usual=8, spread=0.2),
    T("IL6", "26881-3", "白介素-6", "ng/L", 1, None, 7.0, usual=2.6, spread=0.15),
    T("IGE", "19113-0", "总IgE", "k[IU]/L", 1, None, 100.0, usual=42, spread=0.15),
    T("HBSAG", "63557-3", "乙型肝炎表面抗原", "[IU]/mL", 2, None, 0.05, usual=0.0, spread=0.0),
    T("HBVDNA", "42595-9", "乙型肝炎病毒DNA", "[IU]/mL", 0, None, 20, usual=0.0, spread=0.0),
    T("AFP", "53962-7", "甲胎蛋白", "ug/L", 2, None, 7.0, usual=2.4, spread=0.12),
    T("USG", "5811-5", "尿比重", "1", 3, 1.003, 1.030, usual=1.016, spread=0.002),
    T("UPH", "5803-2", "尿酸碱度", "[pH]", 1, 4.5, 8.0, usual=6.0, spread=0.06),
    T("URBC", "13945-1", "尿红细胞（镜检）", "/[HPF]", 0, 0, 3, usual=1, spread=0.3),
    T("UWBC", "5821-4", "尿白细胞（镜检）", "/[HPF]", 0, 0, 5, usual=1, spread=0.3),
)

TESTS: Final[Mapping[str, Test]] = {test.key: test for test in _TESTS}

_WORDS: Final = (
    Words("UCOL", "5778-6", "尿颜色", "淡黄色", "淡黄色"),
    Words("UCLA", "5767-9", "尿透明度", "清晰", "清晰"),
    Words("UPRO", "20454-5", "尿蛋白", "阴性(-)", "阴性"),
    Words("UGLU", "25428-4", "尿葡萄糖", "阴性(-)", "阴性"),
    Words("UKET", "2514-8", "尿酮体", "阴性(-)", "阴性"),
    Words("UBLD", "5794-3", "尿隐血", "阴性(-)", "阴性"),
    Words("UUBG", "13658-0", "尿胆原", "弱阳性(±)", "阴性或弱阳性"),
    Words("UBIL", "5770-3", "尿胆红素", "阴性(-)", "阴性"),
    Words("UNIT", "5802-4", "亚硝酸盐", "阴性(-)", "阴性"),
    Words("ULEU", "5799-2", "白细胞酯酶", "阴性(-)", "阴性"),
    Words("HBSAB", "10900-9", "乙型肝炎表面抗体", "阴性(-)", "阴性"),
    Words("HBEAG", "13954-3", "乙型肝炎e抗原", "阴性(-)", "阴性"),
    Words("HBEAB", "13953-5", "乙型肝炎e抗体", "阴性(-)", "阴性"),
    Words("HBCAB", "13952-7", "乙型肝炎核心抗体", "阴性(-)", "阴性"),
    Words("MPIGM", "23674-5", "肺炎支原体IgM抗体", "阴性(-)", "阴性"),
)

WORDS: Final[Mapping[str, Words]] = {words.key: words for words in _WORDS}


@dataclass(frozen=True, slots=True)
class Panel:
    key: str
    loinc: str
    title: str
    specimen: str
    tests: tuple[str, ...]


def _panel(key: str, loinc: str, title: str, specimen: str, tests: str) -> Panel:
    return Panel(key, loinc, title, specimen, tuple(tests.split()))


PANELS: Final[Mapping[str, Panel]] = {
    panel.key: panel
    for panel in (
        _panel(
            "cbc",
            "58410-2",
            "血常规（五分类）+超敏C反应蛋白",
            "静脉血（EDTA-K2）",
            "WBC NEUTP LYMP MONOP EOSP BASOP NEUT LYM MONO EOS BASO RBC HGB HCT MCV MCH MCHC "
            "RDWCV RDWSD PLT MPV PDW PCTB HSCRP",
        ),
        _panel(
            "biochemistry",
            "24323-8",
            "生化全套",
            "血清",
            "ALT AST ASTALT TBIL DBIL IBIL TP ALB GLB AG ALP GGT TBA PA CHE UREA CREA UA CYSC EGFR GLU K NA CL CA P MG CO2 "
            "TC TG HDL LDL APOA APOB LPA CK CKMB LDH HBDH HCY",
        ),
        _panel(
            "urine",
            "24356-8",
            "尿常规",
            "随机尿",
            "UCOL UCLA USG UPH UPRO UGLU UKET UBLD UUBG UBIL UNIT ULEU URBC UWBC",
        ),
        _panel("glucose", "55399-0", "糖代谢检测", "静脉血", "HBA1C GLU INS CPEP"),
        _panel("kidney", "24362-6", "肾功能四项+电解质", "血清", "UREA CREA UA CYSC EGFR K NA CL CA P CO2"),
        _panel("albuminuria", "13705-9", "尿微量白蛋白/肌酐", "晨尿", "MALB UCREA ACR"),
        _panel("thyroid", "24348-5", "甲状腺功能七项", "血清", "TSH FT3 FT4 TT3 TT4 TPOAB TGAB"),
        _panel("anaemia", "50190-8", "贫血相关检测", "血清", "FER FE TIBC TSAT FOL B12"),
        _panel("clotting", "24373-3", "凝血功能六项", "血浆（枸橼酸钠）", "PT INR APTT FIB TT DD"),
        _panel("infection", "75241-0", "感染标志物", "血清", "HSCRP PCT IL6 ESR MPIGM"),
        _panel("hepatitis", "24363-4", "乙肝两对半（定量）+HBV-DNA", "血清", "HBSAG HBSAB HBEAG HBEAB HBCAB HBVDNA AFP"),
        _panel("liver", "24325-3", "肝功能", "血清", "ALT AST ASTALT TBIL DBIL IBIL TP ALB GLB AG ALP GGT TBA PA CHE"),
        _panel("lipids", "57698-3", "血脂七项", "血清", "TC TG HDL LDL APOA APOB LPA"),
        _panel("allergy", "19113-0", "过敏原总IgE", "血清", "IGE"),
    )
}
