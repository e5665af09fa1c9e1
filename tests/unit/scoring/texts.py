"""Texts that are hard to read: hand-written ones, and seeded random ones of a mixed alphabet."""

import random

FAMILY = "👨‍👩‍👧‍👦"

HARD = (
    "",
    " ",
    " \t\n\u3000\u00a0\u2003\u2028 ",
    "好",
    "味道不错，下次还来。",
    "早餐 很好\n\n房间\t太小 ",
    "おいしいラーメン、また来ます",
    "ﾗｰﾒﾝとｶﾞﾊﾟ",
    "很好😊😊",
    f"全家{FAMILY}都喜欢",
    "服务👍🏽，环境👎🏿",
    "从🇨🇳到🇯🇵🇰🇷",
    "1️⃣房间2️⃣早餐❤️♥",
    "café naïve Ångström Straße İstanbul ΣΑΣ",
    "cafe\u0301 e\u0301\u0302 \u0301",
    "好\u0301好\u20dd。\u0301a\u0308",
    "ＷｉＦｉ　很好！？（１２３）～",
    "“很好”，‘不错’——『值得』…《书》、〈〉",
    "'it's' \"ok\" -- - – — ― ‑",
    "2026年11月2日 13:45 3.5折 100% ¥99.90 No.1",
    "The Hotel is VERY good",
    "iPhone13很好",
    "很iPhone13好MacBook2026Pro用",
    "a1b2 c-d_e@f.com http://x.cn/?q=1&r=2",
    "x" * 99 + " " + "y" * 100 + " " + "z" * 101 + "很好",
    "好" * 300,
    "[SEP]",
    "很好[SEP]再来",
    "[MASK][CLS]好[PAD] [UNK] [SEP",
    "[sep] [mask] [ SEP ] 【SEP】",
    "##好 ##a a##b",
    "𠮷野家，𪚥𫝆𬺰𰻞𱁬",
    "㐀㐁㑇 豈更 ⼀⼈⼩ 〇々〆",
    "\u200f很好\u200e \u202e不错\u202c \u2066ok\u2069",
    "שלום عربي ไทยดี हिन्दी 한국어 \u1100\u1161",
    "龘䲜㗊 \ue000\uf8ff\ufffd\uffff\U0010ffff \U000e0041",
    "①②⑩ ½ ² ₂ ㎡ ㊗ ™ № ℃ ﷺ",
    "^_^ (╯°□°）╯︵ ┻━┻ ~~~ !!! $€£ |\\/ <b>好</b> &nbsp; {}`",
    "\u00ad好\u180e好\u034f好\u2063好\ufe0e",
    "z̷a̵l̸g̶o̴ 好̷",
    "ᄀᄁ ᅡ ᆨ 가각",
    "¨´¸ ゛゜ ʰˢ ˂",
    "\u0600٣ \u0d4e好 \U000110bd",
)

_HAN = "的一是不了在很好差房间早餐味道不错孩子喜欢太小隔音再也推荐物流屏幕电池客服"
_COMMON = [*_HAN * 3, *"，。！？、：“”", *"abcXYZ0123456789", *" ,.!?-'\"()"]
_STRANGE = [
    *"おいラーメンｶﾞﾟ😊👍🏽🇨🇳❤♥☺éñüßİΣçÅＷｉＦｉ１２（）！，．‘’—…《》『』～한국가ไทยดีשלוعر𠮷𪚥𫝆𰻞①½²㎡㊗™ﷺ¨",
    *"\u200d\ufe0f\u20e3\u0301\u0308\u3099\u200b\u200f\u202e\u00ad\u2028\u3000\u00a0\t\n\x01\x7f\x85\ufeff\ufffd\ue000\uffff",
    *(FAMILY, "[SEP]", "[MASK]", "##", "iPhone13", "WiFi", "2026"),
]


def random_texts(count: int, seed: int) -> list[str]:
    """Mostly what reviews are made of, now and then what they are not, and seldom any code point at all."""
    source = random.Random(seed)  # noqa: S311
    return [_random_text(source, strange=source.choice([0.0, 0.0, 0.05, 0.5])) for _ in range(count)]


def _random_text(source: random.Random, strange: float) -> str:
    return "".join(
        source.choice(_COMMON) if source.random() >= strange else source.choice([*_STRANGE, _any_character(source)])
        for _ in range(source.randrange(40))
    )


def _any_character(source: random.Random) -> str:
    code = source.choice([source.randrange(0x3000), source.randrange(0x11_0000)])
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
