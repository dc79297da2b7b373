"""Writes wordpiece_cases.tsv: texts and the ids that the reference tokenizer gives them (without [CLS] and [SEP]).

usage: python make_wordpiece_cases.py VOCAB.txt > wordpiece_cases.tsv      (needs: pip install tokenizers)

A line is: the text with every byte outside printable ASCII, and every backslash, as \\xHH; a tab; the ids.
"""
import random
import sys

from tokenizers import BertWordPieceTokenizer

TEXTS = [
    "", " ", "hello world", "Hello, World!", "unaffable", "The quick brown fox jumps over the lazy dog.",
    "naïve café résumé Ångström", "čćžšđ ČĆŽŠĐ Đurđevac Šibenik žabe", "Zagreb, Rijeka i Osijek; dućan, čaša, ključ.",
    "Ljubljana ǆ ǅ Ǆ ǉ ǌ", "ﬁ ﬂ ﬀ ligatures", "ß ẞ straße STRASSE", "İstanbul ıssız", "ΑΒΓ αβγ ΣΟΦΟΣ σοφος", "Привет, мир! Ёлка",
    "שלום עולם", "שָׁלוֹם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "日本語のテキスト", "カタカナ ひらがな", "ガギグゲゴ", "ｶﾀｶﾅ half",
    "中文文本测试", "中文English混合123", "한국어 텍스트", "가각힣", "𠀀𠀁 rare ideographs", "豈更車 compat", "丽 compat supplement",
    "😀 emoji 👩‍👩‍👧‍👦 family 🏳️‍🌈", "👍🏽 skin", "☃ ☎ ✓ ✗", "→ ← ↔ ⇒", "∑ ∫ √ ∞ ≠ ≤", "½ ¼ ² ³ ™ © ®", "€ £ ¥ ¢ ₿", "№ ℃ Å K Ω",
    "tab\tnewline\nreturn\rend", "vertical\x0btab form\x0cfeed", "nul\x00byte bell\x07 esc\x1b[0m", "del\x7f c1\x85next\x9f",
    "nbsp\u00a0here thin\u2009space ideographic\u3000space", "zero\u200bwidth zwj\u200dx zwnj\u200cx bom\ufeffx", "soft\u00adhyphen",
    "line\u2028sep para\u2029sep", "lrm\u200e rlm\u200f embed\u202ax\u202c", "private\ue000use \U000f0000x", "replacement\ufffdchar",
    "unassigned \u0378 x", "noncharacter \ufffe \uffff x", "a" * 100, "a" * 101, "é" * 100, "x" * 250 + " y", "ab" * 60,
    "don't can't won't it's", "e-mail, co-operate; re-enter", "http://www.example.com/path?query=1&x=2#frag", "user@example.org",
    "C++ C# .NET F# objective-c", "snake_case camelCase kebab-case CONSTANT_CASE", "/usr/share/doc/debian/FAQ/index.en.html",
    "apt-get install --no-install-recommends", "$HOME ~/.bashrc `cmd` | grep -v '^#'", "1,234,567.89", "3.14159 2.71828e10", "2021-01-31T12:34:56Z",
    "+385 (0)1 234-5678", "0x7fffffff 0b1010", "100% 50€ $20", "«guillemets» „hrvatski” “english” ‘single’ ‹x›", "em—dash en–dash ellipsis…",
    "¿Qué? ¡Hola!", "bullet • middle · dot ‣", "†dagger ‡ § ¶", "combining e\u0301 a\u030a o\u0308\u0304", "zalgo t\u0352\u035eh\u0321e", "ṩ ṩ ṩ", "q̣̇ q̣̇",
    "\u1e9b\u0323 \u212b \u2126", "\u037e greek question", "\u0387 ano teleia", "\u1fef \u1ffd", "\u2000\u2001 quads", "\u00b4 acute \u00a8 dia \u00af macron",
    "\u0660\u0661\u0662 ١٢٣", "①②③ ⅣⅤ", "ＡＢＣ ａｂｃ １２３ ！？", "𝐀𝐁𝐂 𝒳 𝕏", "ʰ ʲ ˈ ˌ ː", "ə ʃ ʒ ŋ θ ð", "Œuvre æther ø å ł đ ħ ŧ", "Þórr ð þ", "ŉ ĸ ſ",
    "Ǻ Ȁ ȁ Ȑ", "Ḁ ḁ Ṽ ẁ ẅ", "Việt Nam tiếng Việt", "Dvořák Čapek Łódź Gdańsk żółć", "Őr ű Ű ő", "Ĺ Ľ Ŕ ŕ", "Ģ Ķ Ļ Ņ", "ა ბ გ Ⴀ ⴀ", "Ա ա Բ",
    "አማርኛ", "ខ្មែរ", "မြန်မာ", "বাংলা কো কৌ", "தமிழ் கொ", "తెలుగు", "ಕನ್ನಡ ಕೊ", "മലയാളം കൊ", "සිංහල", "བོད་ཡིག", "ᠮᠣᠩᠭᠣᠯ", "ᚠᚢᚦ", "ꦗꦮ", "𐎀𐎁", "𓀀𓀁",
    "؟ ، ؛ ٪", "। ॥ danda", "。、「」『』【】", "〜～ー", "・", "՞ ՜ ։", "׃ ־ ׀", "‐ ‑ ‒ – — ―", "⁄ ∕ ⧸", "‖ ‗ ″ ‴", "⟨x⟩ ⟪y⟫ ⦃z⦄", "^ ` ~ | < > = + $", "´ ¨ ¯ ¸ ˜",
    "[x] {y} (z) <w>", "a.b.c a..b a...b", "''quoted'' ``ticks``", "_ __ ___", "\\ \\\\ backslash", "\"\"\"", "!!!???", "--- === ***", "##word ##", "#hashtag @mention",
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis", "antidisestablishmentarianism", "electroencephalographically",
    "zzzzqqqq xkcd qwertyuiop", "Mississippi Tallahassee Poughkeepsie", "JavaScript TypeScript PostgreSQL SQLite", "Linux GNU/Linux Debian dpkg apt aptitude dselect",
    "mixed čaša-kave_12€/šalica", "ŠĐČĆŽ" * 10, "word" * 25, "word" * 26, "１" * 101, "😀" * 30, "a\u0301" * 100, "a\u0301" * 101, "\u0301", "\u0301a", " \u0301 ", "e\u200d\u0301",
    "Line one.\r\nLine two.\r\n\r\nParagraph.", "   leading and trailing   ", "multiple     spaces", "\t\t\n\n", "A", "z", "7", ".", "č", "中", "😀", "\u00ad", "\u200b",
    "I", "AI", "A.I.", "U.S.A.", "Ph.D.", "Dr. Smith's", "O'Neill", "rock'n'roll", "10k", "5G", "4x4", "H2O", "CO₂", "x²+y²=z²", "a/b", "and/or", "w/o", "R&D", "AT&T", "Q&A",
    "\U0001f9ff \U0001fae0 new emoji", "\U0001f600\ufe0f vs16", "keycap 1\ufe0f\u20e3", "flag \U0001f1ed\U0001f1f7", "\U000e0067 tags", "\u2e3a \u2e52", "\u061c \u2066x\u2069", "\ufff9x\ufffb",
    "ͅ ypogegrammeni ᾳ ῳ ᾼ", "Ꭰ Ꮳ ꭰ Ᏸ", "Ჰ ჰ", "Ɦ Ʞ Ɡ", "Ꟃ ꟃ Ɤ ɤ", "Ʌ ʌ Ƀ ƀ Ⱥ ⱥ Ɐ ɐ", "ǅ ǈ ǋ ǲ", "ẚ ﬆ ŉ", "ᵃ ᵇ ᵈ", "ꜰ ꟾ ꭣ",
]


def escape(text):
    out = []
    for byte in text.encode():
        out.append(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}")
    return "".join(out)


def random_texts(count):
    rng = random.Random(20)
    pools = [(0x20, 0x7E), (0x00, 0x24F), (0x250, 0x6FF), (0x900, 0xDFF), (0x1E00, 0x206F), (0x20A0, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0x1F300, 0x1F64F)]
    for _ in range(count):
        text = ""
        for _ in range(rng.randrange(1, 8)):
            low, high = rng.choice(pools)
            text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 12))) + rng.choice(["", " ", "."])
        yield text


def main():
    tokenizer = BertWordPieceTokenizer(sys.argv[1], lowercase=True)
    for text in [t for t in TEXTS] + list(random_texts(int(sys.argv[2]) if len(sys.argv) > 2 else 60)):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        print(escape(text), " ".join(map(str, ids)), sep="\t")


if __name__ == "__main__":
    main()
