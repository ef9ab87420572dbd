//! Truth words and durations, as tables.

use super::*;

#[test]
fn truth_words_are_read_in_any_case_and_trimmed() {
    for word in ["true", "1", "t", "y", "yes", "on", "enable", "enabled", " TRUE ", "Yes\n"] {
        assert_eq!(truth(word), Some(true), "{word:?}");
    }
    for word in ["false", "0", "f", "n", "no", "off", "disable", "disabled", " OFF ", "False"] {
        assert_eq!(truth(word), Some(false), "{word:?}");
    }
    for word in ["", " ", "maybe", "2", "truee", "auto", "tr ue"] {
        assert_eq!(truth(word), None, "{word:?}");
    }
}

#[test]
fn durations_are_read_by_unit() {
    let check = |text, millis| {
        assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text:?}");
    };
    check("500ms", 500);
    check("5s", 5_000);
    check("2m", 120_000);
    check("1h", 3_600_000);
    check("7", 7_000);
    check("0", 0);
    check("0.25", 250);
    check("1.5m", 90_000);
    check(" 5s ", 5_000);
    check("8760h", 31_536_000_000);
}

#[test]
fn what_is_no_duration_or_too_long_is_none() {
    for text in [
        "",
        " ",
        "s",
        "ms",
        "-1",
        "+1",
        "1e3",
        "inf",
        "NaN",
        "5 s",
        "5S",
        "5d",
        ".5",
        "5.",
        "1.2.3",
        ".",
        "8761h",
        "99999999999999999999999999999999h",
        "5s5",
        "٣",
        "1h30m",
    ] {
        assert_eq!(duration(text), None, "{text:?}");
    }
    assert_eq!(duration(&"9".repeat(1000)), None, "a number that is infinite");
}
