"""Text that was decoded by a wrong encoding is found in many languages; text as it should be is not."""

from __future__ import annotations

import pytest

from tracker_logging.doctor.data_checks.mojibake import mojibake

# A sentence in each language for which check-data knows the script.
SENTENCES = {
    "de": "Größere Bären hören früh süße Lieder.",
    "fr": "Ça coûte déjà cher à l'été, « où » ça ? CAFÉ»",
    "es": "¿Mañana comerá él el último pingüino?",
    "it": "Perché non è già lì? Più tardi sarà così.",
    "pt": "A construção não é só uma questão de opções.",
    "nl": "Zij zei: één idee, geïnspireerd door België.",
    "sv": "På ön går äldre män över ån.",
    "da": "Rødgrød med fløde på åen, sagde ægtemanden.",
    "fi": "Yötyö häämöttää, älä häiritse tätä.",
    "pl": "Zażółć gęślą jaźń w środę.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "hu": "Árvíztűrő tükörfúrógép működött.",
    "ro": "Țara își știe și învățătorii.",
    "tr": "Çalışkan öğrenciler güzel şarkı söylüyor.",
    "vi": "Tôi đã ăn cơm và uống nước ở nhà bạn.",
    "is": "Ég á ís, þú átt öl og það er æðislegt.",
    "lv": "Šodien mēs ēdam ļoti garšīgu ķirbi.",
    "lt": "Šiandien žąsys ėjo į ežerą.",
    "ru": "Привет, сегодня хорошая погода. Всё ясно, ёлка.",
    "uk": "Він її любить, і це є гарний їжак.",
    "bg": "Днес времето е много хубаво.",
    "el": "Σήμερα ο καιρός είναι πολύ καλός.",
    "he": "היום מזג האוויר יפה מאוד.",
    "ar": "الطقس جميل جدا اليوم.",
    "fa": "امروز هوا خیلی خوب است.",
    "hi": "आज मौसम बहुत अच्छा है।",
    "th": "วันนี้อากาศดีมาก",
    "zh": "今天天气很好,我们去公园散步。",
    "yue": "今日天氣好好,我哋去公園行下。",
    "ja": "今日はとても良い天気ですね。",
    "ko": "오늘은 날씨가 아주 좋네요.",
    "ka": "დღეს კარგი ამინდია.",
    "hy": "Այսօր եղանակը լավ է։",
    "bn": "আজ আবহাওয়া খুব ভালো।",
    "ta": "இன்று வானிலை நன்றாக உள்ளது.",
}
NATURAL = (
    *SENTENCES.values(),
    "“Äh… ja” – naïve",
    "Ä, Ö, Ü und ß",
    "Ві",
    "中",
    "行选",
    "你好",
    "嗯",
    "кВт и гПа",
    "МОСКВА",
    "20 °C ± 1 µm",
    "« À »",
    "ÉÈÀ!",
    "한",
)


@pytest.mark.parametrize("text", NATURAL)
def test_text_as_it_should_be_is_no_mojibake(text: str) -> None:
    assert mojibake(text) is None


@pytest.mark.parametrize("language", SENTENCES)
def test_utf8_that_was_decoded_as_latin1_is_found_with_what_it_read(language: str) -> None:
    found = mojibake(SENTENCES[language].encode().decode("latin-1"))
    assert found is not None and found.text == SENTENCES[language]


@pytest.mark.parametrize(
    ("language", "wrong"),
    [
        ("ru", "cp1251"),
        ("zh", "gb18030"),
        ("ja", "cp932"),
        ("ko", "cp949"),
        ("ru", "gb18030"),
        ("uk", "cp1251"),
        ("pl", "cp1250"),
        ("ru", "koi8_r"),
        ("el", "cp1253"),
        ("tr", "cp1254"),
        ("de", "mac_roman"),
        ("fr", "cp437"),
        ("ru", "cp866"),
    ],
)
def test_utf8_that_was_decoded_by_a_regional_encoding_is_found(language: str, wrong: str) -> None:
    # bytes that the encoding lacks are lost, as they are in the programs that do this
    text = SENTENCES[language].encode().decode(wrong, errors="ignore")
    damaged = SENTENCES[language].encode().decode(wrong, errors="replace")
    assert mojibake(text) is not None or "\ufffd" in damaged


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("ru", "cp1251"),
        ("ru", "koi8_r"),
        ("uk", "cp1251"),
        ("el", "cp1253"),
        ("zh", "gb18030"),
        ("yue", "big5hkscs"),
        ("ja", "euc_jp"),
        ("ko", "cp949"),
        ("he", "cp1255"),
        ("ar", "cp1256"),
        ("th", "cp874"),
    ],
)
def test_text_of_a_regional_encoding_that_was_decoded_as_western_is_found(language: str, encoding: str) -> None:
    assert mojibake(SENTENCES[language].encode(encoding).decode("latin-1")) is not None


def test_one_damaged_letter_is_enough_where_no_language_has_it() -> None:
    for text in ("They saw the cafÃ© beside it.", "It is donâ€™t", "the ï¿½iver", "锟斤拷"):
        assert mojibake(text) is not None
    koi8_as_cp1251 = "Привет, ребята".encode("koi8_r").decode("cp1251")
    assert mojibake(koi8_as_cp1251) is not None
